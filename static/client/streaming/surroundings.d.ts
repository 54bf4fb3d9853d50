export type Listener = {
    networkGone: () => void;
    networkBack: () => void;
    wake: () => void;
    tick: () => void;
};
/**
 * @typedef {object} Listener
 * @property {() => void} networkGone
 * @property {() => void} networkBack
 * @property {() => void} wake
 * @property {() => void} tick
 */
/** Tells a listener, from `start` to `stop`. */
export declare class Surroundings {
    #private;
    /** @param {Listener} listener */
    constructor(listener: Listener);
    start(): void;
    stop(): void;
}
