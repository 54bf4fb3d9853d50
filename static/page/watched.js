// A job as a view shows it: watched from its first event, folded, and drawn once a frame.

import { el, perFrame } from "./dom.js";
import { percent } from "./i18n.js";
import { problemBox, showProblem } from "./problem.js";
import { client, taskTitle } from "./session.js";
import { Connection, TERMINAL, statusMark, statusText } from "./status.js";
import { fold } from "../client/streaming.js";

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
    this.redraw = perFrame(() => this.state && this.show(draw));
    this.timer = setInterval(() => this.ended || this.redraw(), TICK_MS);
    this.watch = client.watch(id, {
      after: 0,
      onEvent: (event) => this.add(event),
      onState: (state) => this.connected(state),
    });
  }

  get ended() {
    return TERMINAL.includes(this.state?.status);
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
    if (state.reason === "refused" && state.problem) showProblem(this.problem, state.problem);
  }

  /** The tab tells how far the job is, also where it is not seen and nothing is drawn. */
  entitle() {
    const { status, progress, task } = this.state;
    const moves = status === "running" && progress.percent > 0;
    const title = `${moves ? percent(progress.percent) : statusText(status)} · ${taskTitle(task)}`;
    if (document.title !== title) document.title = title;
  }

  show(draw) {
    this.mark.hidden = false;
    this.mark.tell(this.state.status);
    if (this.state.error) showProblem(this.problem, this.state.error);
    draw(this.state);
  }

  close() {
    clearInterval(this.timer);
    this.watch.close();
    this.redraw.cancel();
    this.connection.close();
  }
}
