// Waiting: for a turn, for a gate to open, for some time.

/** So many at once; the others wait, in order. */
export class Turns {
  /** @param {number} free */
  constructor(free) {
    this.free = free;
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /** @returns {Promise<void>} */
  take() {
    if (this.free > 0) {
      this.free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  give() {
    const next = this.waiting.shift();
    if (next) next();
    else this.free += 1;
  }
}

/** Held or open. */
export class Gate {
  #held = false;
  #open = () => {};
  /** @type {Promise<void>} */
  #opened = Promise.resolve();

  /** @param {boolean} held */
  set(held) {
    if (held === this.#held) return;
    this.#held = held;
    if (held) this.#opened = new Promise((resolve) => { this.#open = resolve; });
    else this.#open();
  }

  passed() {
    return this.#opened;
  }
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms * (1 + Math.random()));
    signal.addEventListener("abort", end);
  });
}
