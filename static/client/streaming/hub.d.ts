/** @import {Http} from "./http.js" */
/** @import {StreamEvent, Transport, WatchState} from "./types.js" */
import type { Http } from "./http.js";
import type { Transport } from "./types.js";
import { Channels } from "./channels.js";
export type Follower = {
    id: string;
    tab: string;
    types: string[];
};
export type Post = (tab: string, message: any) => void;
/** @typedef {{id: string, tab: string, types: string[]}} Follower */
/** @typedef {(tab: string, message: any) => void} Post */
export declare class Hub {
    #private;
    /** @param {Http} http @param {Transport[]} transports @param {Post} post */
    constructor(http: Http, transports: Transport[], post: Post);
    get channels(): Channels;
    /** @param {any} message */
    take(message: any): void;
    /** @param {string} tab */
    drop(tab: string): void;
    close(): void;
}
