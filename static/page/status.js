// How a job, and the connection to it, stand: as small marks.

import { el, say } from "./dom.js";
import { duration, t, tText } from "./i18n.js";

export const TERMINAL = ["completed", "failed", "cancelled"];

/** What people call the transports. */
const TRANSPORTS = {
  sse: "SSE",
  websocket: "WebSocket",
  poll: "long polling",
  ndjson: "NDJSON",
  plain: "plain request",
  feed: "feed",
  wait: "plain request",
};
export const transportName = (name) => tText(TRANSPORTS[name] ?? name);
/** Why a watch waits, where no time is known. */
const REASONS = { paused: "paused: the server keeps the rest", full: "paused: the server keeps the rest" };

export const ACTIVE = ["queued", "running", "waiting_for_input", "cancelling"];

/** A job's status as people say it. */
export const statusText = (status) => tText(status.replaceAll("_", " "));

/** A job's status as a mark that `tell` changes. */
export function statusMark(status) {
  const node = el("span", { className: "status" });
  node.tell = (now) => {
    node.dataset.status = now;
    say(node, statusText(now));
  };
  node.tell(status);
  return node;
}

/** How a watch stands; while it waits, with the seconds that are left. */
export class Connection {
  constructor() {
    this.node = el("span", { className: "connection" });
    this.timer = 0;
  }

  tell(state) {
    clearInterval(this.timer);
    this.node.dataset.state = state.name;
    if (state.name === "waiting" && state.retryAt) this.timer = setInterval(() => this.write(state), 500);
    this.write(state);
  }

  write({ name, transport, retryAt, reason }) {
    const left = Math.max(0, (retryAt ?? 0) - Date.now()) / 1000;
    const over = transportName(transport);
    const texts = {
      connecting: () =>
        transport === "plain" ? t("waits_for_the_end") : t("connecting_transport", { transport: over }),
      live: () => t("live_transport", { transport: over }),
      waiting: () =>
        retryAt ? t("reconnecting_in_time", { time: duration(left) }) : tText(REASONS[reason] ?? "waiting"),
      offline: () => t("offline_goes_itself"),
      closed: () =>
        tText(reason === "refused" ? "refused" : reason === "lost" ? "connection lost" : "everything received"),
    };
    say(this.node, texts[name]());
  }

  close() {
    clearInterval(this.timer);
  }
}
