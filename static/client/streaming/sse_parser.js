// Server-Sent Events out of text as it comes (WHATWG HTML, 9.2.6), of which the client needs the data alone.

export class SseParser {
  #give;
  #rest = "";
  /** @type {string[]} */
  #data = [];
  #first = true;

  /** @param {(data: string) => void} give gets the data of each event that is whole */
  constructor(give) {
    this.#give = give;
  }

  /** @param {string} text */
  feed(text) {
    if (this.#first && text) {
      this.#first = false;
      text = text.replace(/^\uFEFF/, "");
    }
    const whole = this.#rest + text;
    // A CR at the end may be half of a CRLF: the next piece tells.
    const held = whole.endsWith("\r") ? 1 : 0;
    const lines = whole.slice(0, whole.length - held).split(/\r\n|\r|\n/);
    this.#rest = (lines.pop() ?? "") + whole.slice(whole.length - held);
    for (const line of lines) this.#take(line);
  }

  /** @param {string} line */
  #take(line) {
    if (line === "") return this.#dispatch();
    const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "data") this.#data.push(value ?? "");
  }

  #dispatch() {
    const data = this.#data;
    this.#data = [];
    if (data.length > 0) this.#give(data.join("\n"));
  }
}
