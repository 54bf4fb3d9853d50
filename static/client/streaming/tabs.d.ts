export type Leading = {
    /**
     * a message of a tab's
     */
    take: (message: any) => void;
    /**
     * a tab is gone
     */
    drop: (tab: string) => void;
    close: () => void;
};
export type Plan = {
    /**
     * begins to lead
     */
    lead: (post: (tab: string, message: any) => void) => Leading;
    /**
     * a message from the leader; `{op: "leader"}`: there is another one
     */
    hear: (message: any) => void;
};
/**
 * What the leading tab does for all; see hub.js.
 * @typedef {object} Leading
 * @property {(message: any) => void} take a message of a tab's
 * @property {(tab: string) => void} drop a tab is gone
 * @property {() => void} close
 */
/**
 * @typedef {object} Plan
 * @property {(post: (tab: string, message: any) => void) => Leading} lead begins to lead
 * @property {(message: any) => void} hear a message from the leader; `{op: "leader"}`: there is another one
 */
export declare class Tabs {
    #private;
    id: string;
    /** Whether this environment has what it takes: a page, in a context in which there are locks. */
    static get possible(): boolean;
    /** @param {string} name of what they have in common @param {Plan} plan */
    constructor(name: string, plan: Plan);
    get leads(): boolean;
    get runs(): boolean;
    start(): void;
    stop(): void;
    /** Say something to who leads. @param {any} message */
    send(message: any): Promise<void>;
    /** Lead in place of a tab that does not answer. */
    seize(): void;
}
