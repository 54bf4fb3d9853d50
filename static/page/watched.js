// A job as a view shows it: watched from its first event, folded, and drawn once a frame.

import { el, perFrame } from "./dom.js";
import { duration, percent, t } from "./i18n.js";
import { problemBox, showProblem } from "./problem.js";
import { Disconnecting } from "./disconnecting.js";
import { client, titleOf } from "./session.js";
import { Connection, TERMINAL, statusMark, statusText } from "./status.js";
import { fold } from "../client/streaming.js";

/** Milliseconds without the server after which that is said aloud. */
const AWAY_MS = 2500;

/** Milliseconds between two drawings while nothing comes: times go on. */
const TICK_MS = 1000;

export class WatchedJob {
  /** `take` gets each event after it is in `state`; `draw` is called when there is a state to draw. */
  constructor(id, { take, draw }) {
    this.id = id;
    this.state = null;
    this.take = take;
    this.mark = statusMark("queued");
    this.mark.hidden = true; // until something is known of the job
    this.connection = new Connection();
    this.problem = problemBox();
    this.away = this.buildAway();
    this.disconnecting = new Disconnecting(() => this.watch);
    this.redraw = perFrame(() => this.state && this.show(draw));
    this.timer = setInterval(() => {
      this.tellAway();
      if (!this.ended) this.redraw();
    }, TICK_MS);
    this.watch = client.watch(id, {
      after: 0,
      onEvent: (event) => this.add(event),
      onState: (state) => this.connected(state),
    });
  }

  get ended() {
    return TERMINAL.includes(this.state?.status);
  }

  /** The server is away: that the job is safe, and a way to try at once. */
  buildAway() {
    this.retryIn = el("span");
    const button = el("button", { type: "button", onclick: () => this.watch.retry() }, t("try_now"));
    return el("div", { className: "away bar", role: "status", hidden: true },
      el("p", {}, el("b", {}, t("the_server_is_away")), " ", t("your_job_safe_goes_goes"), " ", this.retryIn), button);
  }

  /** Tell that the server is away only when it lasts: most cuts are over at once. */
  tellAway() {
    const { name, reason, retryAt } = this.watch.state;
    const lost = name !== "live" && name !== "closed" && reason !== "paused" && reason !== "asked";
    this.awaySince = lost ? (this.awaySince ?? Date.now()) : null;
    this.away.hidden = !lost || Date.now() - this.awaySince < AWAY_MS;
    const left = Math.max(0, (retryAt ?? 0) - Date.now()) / 1000;
    this.retryIn.textContent = retryAt ? t("next_try_in_time", { time: duration(Math.max(1, Math.ceil(left))) }) : "";
  }

  /** The view's header: a title, how the job and the connection stand, and what one can do. */
  header(title, ...actions) {
    const end = el("span", { className: "end bar" }, actions);
    return el("header", { className: "bar" }, title, this.mark, this.connection.node, end);
  }

  add(event) {
    this.state = fold(this.state, event);
    this.take(event);
    this.entitle();
    this.redraw();
  }

  connected(state) {
    this.connection.tell(state);
    if (state.name === "live") this.tellAway();
    this.redraw();
    if (state.reason === "refused" && state.problem) showProblem(this.problem, state.problem);
  }

  /** The tab tells how far the job is, also where it is not seen and nothing is drawn. */
  entitle() {
    const { status, progress } = this.state;
    const moves = status === "running" && progress.percent > 0;
    const title = `${moves ? percent(progress.percent) : statusText(status)} · ${titleOf(this.state)}`;
    if (document.title !== title) document.title = title;
  }

  show(draw) {
    this.mark.hidden = false;
    this.mark.tell(this.state.status);
    if (this.state.error) showProblem(this.problem, this.state.error);
    this.disconnecting.draw(this.state);
    draw(this.state);
  }

  close() {
    clearInterval(this.timer);
    this.disconnecting.close();
    this.watch.close();
    this.redraw.cancel();
    this.connection.close();
  }
}
