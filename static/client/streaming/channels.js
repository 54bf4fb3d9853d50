// The channels to one server: one for each watch that wants its own, and as few as can be for the others.
/** @import {Http} from "./http.js" */
/** @import {Transport} from "./types.js" */

import { Channel } from "./channel.js";

export class Channels {
  #http;
  /** @type {Map<Channel, string>} each with what its watches have in common; "" where it has one watch */
  #all = new Map();

  /** @param {Http} http */
  constructor(http) {
    this.#http = http;
  }

  /** One of its own. @param {Transport[]} transports */
  own(transports) {
    return this.#make(transports, false);
  }

  /** One that is shared, and has room for this job. @param {Transport[]} transports @param {string} job */
  shared(transports, job) {
    const kind = transports.join();
    const known = [...this.#all].find(([each, its]) => its === kind && each.takes(job));
    return known ? known[0] : this.#make(transports, true);
  }

  /** @param {(channel: Channel) => void} tell */
  each(tell) {
    for (const channel of [...this.#all.keys()]) tell(channel);
  }

  /** Keep no connection; all watches have left. */
  close() {
    this.each((channel) => channel.close());
  }

  /** @param {Transport[]} transports @param {boolean} shared */
  #make(transports, shared) {
    const made = new Channel(this.#http, { shared, transports, idle: () => this.#all.delete(made) });
    this.#all.set(made, shared ? transports.join() : "");
    return made;
  }
}
