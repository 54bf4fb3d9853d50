// "Cut my connection": the page goes without the server for some seconds, and comes back to a whole log.

import { el, say } from "./dom.js";
import { number, t } from "./i18n.js";

/** Seconds without a connection. */
const AWAY_S = 4;

export class Disconnecting {
  /** `watch()` gives the watch of the job that is shown. */
  constructor(watch) {
    this.watch = watch;
    this.button = el("button", { type: "button", className: "small cut", onclick: () => this.cut() }, t("Cut my connection"));
    this.said = el("p", { className: "hint note-line", role: "status" });
    this.timer = 0;
  }

  cut() {
    if (this.timer) return this.comeBack();
    this.left = AWAY_S;
    this.before = this.watch().position ?? 0;
    this.watch().offline(true);
    this.button.textContent = t("Connect again");
    this.timer = setInterval(() => this.tick(), 1000);
    this.tell();
  }

  tick() {
    this.left -= 1;
    if (this.left > 0) this.tell();
    else this.comeBack();
  }

  tell() {
    say(this.said, t("You are cut off. The job goes on without you; back in {n} s.", { n: this.left }));
  }

  comeBack() {
    clearInterval(this.timer);
    this.timer = 0;
    this.button.textContent = t("Cut my connection");
    this.watch().offline(false);
    this.counts = true;
    say(this.said, t("Connecting again…"));
  }

  /** Tell what came back, once it has. */
  draw(state) {
    this.button.hidden = state.finished_at !== null && !this.timer;
    if (!this.counts || this.watch().state.name === "offline" || this.watch().state.name === "connecting") return;
    const { position, stats } = this.watch();
    this.counts = false;
    const came = Math.max(0, position - this.before);
    say(this.said, stats.lost
      ? t("Back. {lost} events are gone; the state is complete.", { lost: number(stats.lost) })
      : t("Back. {n} events happened while you were away: all are here, none twice, none lost.", { n: number(came) }));
  }

  close() {
    clearInterval(this.timer);
  }
}
