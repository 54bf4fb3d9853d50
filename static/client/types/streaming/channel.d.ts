/** @import {Http} from "./http.js" */
/** @import {End, Line} from "./lines.js" */
/** @import {StreamEvent, Transport, WatchState} from "./types.js" */
/** @import {Watch} from "./watch.js" */
import type { Http } from "./http.js";
import type { Transport } from "./types.js";
import type { Watch } from "./watch.js";
export declare class Channel {
    #private;
    shared: boolean;
    /**
     * @param {Http} http
     * @param {{shared: boolean, transports: Transport[], idle: () => void}} plan `idle` is called
     * when the last watch has left; the channel is not used any more
     */
    constructor(http: Http, { shared, transports, idle }: {
        shared: boolean;
        transports: Transport[];
        idle: () => void;
    });
    get transport(): Transport;
    /** Whether another job finds room here. @param {string} job */
    takes(job: string): boolean;
    /** @param {Watch} watch */
    add(watch: Watch): void;
    /** @param {Watch} watch */
    remove(watch: Watch): void;
    /** Keep no connection for jobs that may come. Its watches have left. */
    close(): void;
    /** Lose the connection, as by a network that fails. */
    cut(): void;
    /** Try now, where it waits for a later try. */
    retry(): void;
    /** Go on over another transport. @param {Transport} transport */
    use(transport: Transport): void;
    /** Stop reading, or go on. @param {boolean} held */
    hold(held: boolean): void;
    /** Be without a network, or back. @param {boolean} offline */
    offline(offline: boolean): void;
    /** The device has lost its network. It is tried all the same, now and then: a server may be near. */
    networkGone(): void;
    /** The device is back on a network, perhaps another one. */
    networkBack(): void;
    /** The page is seen again, or has slept: what was thought to be open may not be. */
    wake(): void;
    /** Time has passed. */
    tick(): void;
}
