// The badge that says that no model has answered, and how to have one.

import { copyButton } from "./copying.js";
import { el } from "./dom.js";
import { t } from "./i18n.js";

const LINES = `export STREAMING_LLM_BASE_URL=https://api.openai.com/v1 STREAMING_LLM_MODEL=gpt-5-mini
export STREAMING_LLM_API_KEY=sk-…   # then start the server again`;

/** It opens to the lines that connect a model of one's own. */
export function simulatedBadge() {
  return el(
    "details",
    { className: "badge" },
    el("summary", {}, t("simulated_model_connect_yours")),
    el("p", {}, t("no_language_model_connected_text")),
    el("pre", { tabIndex: 0, dir: "ltr" }, LINES),
    copyButton(() => LINES),
  );
}
