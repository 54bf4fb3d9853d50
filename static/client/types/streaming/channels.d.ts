/** @import {Http} from "./http.js" */
/** @import {Transport} from "./types.js" */
import type { Http } from "./http.js";
import type { Transport } from "./types.js";
import { Channel } from "./channel.js";
export declare class Channels {
    #private;
    /** @param {Http} http */
    constructor(http: Http);
    /** One of its own. @param {Transport[]} transports */
    own(transports: Transport[]): Channel;
    /** One that is shared, and has room for this job. @param {Transport[]} transports @param {string} job */
    shared(transports: Transport[], job: string): Channel;
    /** @param {(channel: Channel) => void} tell */
    each(tell: (channel: Channel) => void): void;
    /** Keep no connection; all watches have left. */
    close(): void;
}
