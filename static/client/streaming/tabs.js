// The tabs of one browser that watch the same server. One of them leads, and keeps the connection for all;
// when it is closed or does not answer, another one takes over.
//
// Who leads holds a lock (Web Locks), for which the others queue. Messages go over BroadcastChannel:
// to the leader over a channel that all share, to each tab over one of its own.

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

export class Tabs {
  #name;
  #plan;
  /** @type {BroadcastChannel | null} */
  #common = null;
  /** @type {BroadcastChannel | null} */
  #mine = null;
  /** @type {Map<string, BroadcastChannel>} */
  #others = new Map();
  /** @type {Leading | null} */
  #leading = null;
  #stopped = new AbortController();
  #resign = () => {};
  /** Until this tab's own lock is held, by which the leader knows that it is there. */
  #alive = Promise.resolve();

  /** Whether this environment has what it takes: a page, in a context in which there are locks. */
  static get possible() {
    return typeof document !== "undefined" && typeof BroadcastChannel !== "undefined"
      && navigator.locks !== undefined;
  }

  /** @param {string} name of what they have in common @param {Plan} plan */
  constructor(name, plan) {
    this.#name = name;
    this.#plan = plan;
    this.id = freshId();
  }

  get leads() {
    return this.#leading !== null;
  }

  get runs() {
    return this.#common !== null;
  }

  start() {
    if (this.runs) return;
    this.id = freshId(); // what is still under way to the one before is not for this one
    this.#stopped = new AbortController();
    this.#common = new BroadcastChannel(this.#name);
    this.#mine = new BroadcastChannel(`${this.#name}/${this.id}`);
    this.#common.onmessage = ({ data }) => this.#announced(data);
    this.#mine.onmessage = ({ data }) => this.#plan.hear(data);
    this.#alive = this.#showAlive();
    this.#stand({ signal: this.#stopped.signal });
    addEventListener("pagehide", this.#hidden);
  }

  stop() {
    if (!this.runs) return;
    this.#stopped.abort();
    this.#stepDown();
    this.#common?.close();
    this.#mine?.close();
    this.#common = this.#mine = null;
    removeEventListener("pagehide", this.#hidden);
  }

  /** Say something to who leads. @param {any} message */
  async send(message) {
    await this.#alive;
    const said = { ...message, tab: this.id };
    if (this.#leading) this.#take(said);
    else this.#common?.postMessage(said);
  }

  /** Lead in place of a tab that does not answer. */
  seize() {
    if (this.runs && !this.leads) this.#stand({ steal: true });
  }

  // A page that is kept for the back button must hold nothing; `wake` of the relay starts it again.
  #hidden = () => this.stop();

  #showAlive() {
    const { signal } = this.#stopped;
    return new Promise((/** @type {(value: void) => void} */ resolve) => {
      navigator.locks.request(`${this.#name}/${this.id}`, () => {
        resolve();
        return new Promise((release) => signal.addEventListener("abort", release));
      });
    });
  }

  /** @param {LockOptions} how */
  async #stand(how) {
    const { signal } = this.#stopped;
    try {
      await navigator.locks.request(this.#name, how, () => this.#lead());
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "AbortError") throw error;
    }
    if (signal.aborted) return;
    this.#stepDown(); // another tab has seized it
    this.#stand({ signal });
  }

  #lead() {
    this.#leading = this.#plan.lead((tab, message) => this.#post(tab, message));
    this.#common?.postMessage({ op: "leader" });
    this.#plan.hear({ op: "leader" });
    return new Promise((/** @type {(value: void) => void} */ resolve) => { this.#resign = resolve; });
  }

  #stepDown() {
    this.#leading?.close();
    this.#leading = null;
    for (const each of this.#others.values()) each.close();
    this.#others.clear();
    this.#resign();
  }

  /** @param {any} message */
  #announced(message) {
    if (message.op === "leader") this.#plan.hear(message);
    else if (this.#leading) this.#take(message);
  }

  /** @param {any} message */
  #take(message) {
    const { tab } = message;
    if (tab !== this.id && !this.#others.has(tab)) this.#meet(tab);
    this.#leading?.take(message);
  }

  /** Its lock is ours as soon as the tab is gone. @param {string} tab */
  #meet(tab) {
    const { signal } = this.#stopped;
    this.#others.set(tab, new BroadcastChannel(`${this.#name}/${tab}`));
    navigator.locks.request(`${this.#name}/${tab}`, { signal }, () => {
      this.#others.get(tab)?.close();
      this.#others.delete(tab);
      this.#leading?.drop(tab);
    }).catch(() => {}); // stopped before that
  }

  /** @param {string} tab @param {any} message */
  #post(tab, message) {
    if (tab === this.id) this.#plan.hear(message);
    else this.#others.get(tab)?.postMessage(message);
  }
}

const freshId = () => Math.random().toString(36).slice(2) + Date.now().toString(36);
