// Taking text away: to the clipboard, or as a file.

import { el, save } from "./dom.js";
import { t } from "./i18n.js";

/** Milliseconds that a button says that it has copied. */
const SAID_MS = 1500;

/** A button that copies what `text()` gives. */
export function copyButton(text, label = t("copy")) {
  const button = el("button", { type: "button", className: "small" }, label);
  button.onclick = async () => {
    const done = await copy(text());
    button.textContent = done ? t("copied") : t("not_allowed_here");
    setTimeout(() => (button.textContent = label), SAID_MS);
  };
  return button;
}

/** A button that saves what `text()` gives under a name. */
export function saveButton(text, name, type) {
  const onclick = () => save(text(), name, type);
  return el("button", { type: "button", className: "small", onclick }, t("download"));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // over plain HTTP there is no clipboard
  }
}

function copyBySelection(text) {
  const place = el("textarea", { value: text, className: "unseen", readOnly: true });
  document.body.append(place);
  place.select();
  const done = document.execCommand("copy");
  place.remove();
  return done;
}
