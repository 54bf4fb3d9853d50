// What somebody has typed and not sent: it outlives a look at another view, and a change of language.

/** @type {Map<string, Map<string, any>>} by form: what each of its controls holds */
const kept = new Map();

/** Keep what the controls below an element hold, under a name. */
export function keep(name, root) {
  kept.set(name, new Map([...controlsOf(root)].filter(([, { type, files }]) => type !== "file" || files.length).map(([key, control]) => [key, heldBy(control)])));
}

/** Give the controls below an element what is kept under a name. */
export function restore(name, root) {
  const held = kept.get(name);
  if (!held) return;
  for (const [key, control] of controlsOf(root)) if (held.has(key)) give(control, held.get(key));
}

/** It is sent: the next form begins anew. */
export const forget = (name) => kept.delete(name);

/** Controls by their path, else by their place. */
function* controlsOf(root) {
  let place = 0;
  for (const each of root.querySelectorAll("input, textarea, select")) yield [each.dataset.path ?? `#${place++}`, each];
}

function heldBy(control) {
  if (control.type === "checkbox") return control.checked;
  return control.type === "file" ? control.files : control.value;
}

function give(control, value) {
  if (control.type === "checkbox") control.checked = value;
  else if (control.type === "file") {
    control.files = value;
    control.onchange?.();
  } else control.value = value;
}
