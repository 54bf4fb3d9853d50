/** @import {Http} from "./http.js" */
import type { Http } from "./http.js";
/**
 * @param {Http} http
 * @param {File} file
 * @param {{onProgress?: (sent: number, total: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<{id: string, name: string, size: number}>}
 */
export declare function upload(http: Http, file: File, options?: {
    onProgress?: (sent: number, total: number) => void;
    signal?: AbortSignal;
}): Promise<{
    id: string;
    name: string;
    size: number;
}>;
