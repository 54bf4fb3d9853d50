/** @import {Http} from "./http.js" */
/** @import {Tabs} from "./tabs.js" */
/** @import {StreamEvent, WatchState} from "./types.js" */
/** @import {Watch} from "./watch.js" */
import type { Http } from "./http.js";
import type { Tabs } from "./tabs.js";
import type { Watch } from "./watch.js";
export declare class Relay {
    #private;
    /** Unlike a channel, it cannot change its transport: a watch that wants another one leaves. */
    relayed: true;
    /** @param {Http} http @param {(hear: (message: any) => void) => Tabs} meet */
    constructor(http: Http, meet: (hear: (message: any) => void) => Tabs);
    /** @param {Watch} watch */
    add(watch: Watch): void;
    /** @param {Watch} watch */
    remove(watch: Watch): void;
    /** Leave the other tabs at once. */
    close(): void;
    /** Lose the connection that all tabs share. @param {Watch} watch */
    cut(watch: Watch): void;
    /** @param {Watch} watch */
    retry(watch: Watch): void;
    /** @param {boolean} held @param {Watch} watch */
    hold(held: boolean, watch: Watch): void;
    /** @param {boolean} offline @param {Watch} watch */
    offline(offline: boolean, watch: Watch): void;
    /** The page is seen again, or has slept. */
    wake(): void;
    /** Time has passed: does the tab that leads still answer? */
    tick(): void;
}
