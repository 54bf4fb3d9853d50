// What happens around the streams: the network comes and goes, the page is hidden, the device sleeps.

/** Milliseconds between two looks; so many too late means that the device, or the page, has slept. */
const TICK_MS = 1000, SLEPT_MS = 10_000;

/**
 * @typedef {object} Listener
 * @property {() => void} networkGone
 * @property {() => void} networkBack
 * @property {() => void} wake
 * @property {() => void} tick
 */

/** Tells a listener, from `start` to `stop`. */
export class Surroundings {
  #listener;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #last = 0;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  start() {
    if (this.#timer !== undefined) return;
    this.#last = Date.now();
    this.#timer = setInterval(this.#tick, TICK_MS);
    globalThis.addEventListener?.("offline", this.#offline);
    globalThis.addEventListener?.("online", this.#online);
    globalThis.addEventListener?.("pageshow", this.#shown);
    globalThis.document?.addEventListener("visibilitychange", this.#shown);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    globalThis.removeEventListener?.("offline", this.#offline);
    globalThis.removeEventListener?.("online", this.#online);
    globalThis.removeEventListener?.("pageshow", this.#shown);
    globalThis.document?.removeEventListener("visibilitychange", this.#shown);
  }

  #offline = () => this.#listener.networkGone();
  #online = () => this.#listener.networkBack();
  #shown = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.#listener.wake();
  };

  #tick = () => {
    const late = Date.now() - this.#last - TICK_MS;
    this.#last = Date.now();
    if (late > SLEPT_MS) this.#listener.wake();
    else this.#listener.tick();
  };
}
