// "Cut my connection": the page goes without the server for some seconds, and comes back to a whole log.

import { el, say } from "./dom.js";
import { number, t } from "./i18n.js";
import { client } from "./session.js";

/** Seconds without a connection. */
const AWAY_S = 4;

export class Disconnecting {
  /** `watch()` gives the watch of the job that is shown. */
  constructor(watch) {
    this.watch = watch;
    this.button = el("button", { type: "button", className: "small cut", hidden: true, onclick: () => this.cut() }, t("cut_my_connection"));
    this.said = el("p", { className: "hint note-line", role: "status" });
    this.timer = 0;
    /** While it comes back: the position up to which all must be here again. */
    this.until = null;
  }

  cut() {
    if (this.timer) return this.comeBack();
    this.left = AWAY_S;
    this.before = this.watch().position ?? 0;
    this.watch().offline(true);
    this.button.textContent = t("connect_again");
    this.timer = setInterval(() => this.tick(), 1000);
    this.tell();
  }

  tick() {
    this.left -= 1;
    if (this.left > 0) this.tell();
    else this.comeBack();
  }

  tell() {
    say(this.said, t("you_are_cut_off_job", { n: this.left }));
  }

  async comeBack() {
    clearInterval(this.timer);
    this.timer = 0;
    this.button.textContent = t("cut_my_connection");
    say(this.said, t("connecting_again"));
    this.watch().offline(false);
    // Up to here is what happened without us; should the server not say, what has come by then.
    this.until = await client.job(this.watch().job).then(({ seq }) => seq, () => this.watch().position);
  }

  /** Tell what came back, once it has. */
  draw(state) {
    this.button.hidden = state.finished_at !== null && !this.timer;
    const { position, stats } = this.watch();
    if (this.until === null || position < this.until) return;
    const came = Math.max(0, this.until - this.before);
    this.until = null;
    say(this.said, stats.lost
      ? t("back_lost_events_are_gone", { lost: number(stats.lost) })
      : t("back_n_events_happened_while", { n: number(came) }));
  }

  close() {
    clearInterval(this.timer);
  }
}
