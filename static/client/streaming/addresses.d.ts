/** @import {Target} from "./lines.js" */
import type { Target } from "./lines.js";
/** Bytes of a text in UTF-8. @param {string} text */
export declare const bytesIn: (text: string) => number;
/** The address of one job's stream. @param {Target} target @param {string} way */
export declare function watched(target: Target, way: string): {
    path: string;
    query: string;
};
/** The address of a feed, as short as can be: servers allow some 8,000 characters. @param {Target} target */
export declare function feed(target: Target): {
    path: string;
    query: string;
};
