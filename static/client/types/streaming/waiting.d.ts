/** So many at once; the others wait, in order. */
export declare class Turns {
    free: number;
    /** @type {(() => void)[]} */
    waiting: (() => void)[];
    /** @param {number} free */
    constructor(free: number);
    /** @returns {Promise<void>} */
    take(): Promise<void>;
    give(): void;
}
/** Held or open. */
export declare class Gate {
    #private;
    /** @param {boolean} held */
    set(held: boolean): void;
    passed(): Promise<void>;
}
/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export declare function pause(ms: number, signal: AbortSignal): Promise<void>;
