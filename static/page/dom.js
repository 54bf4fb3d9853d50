// Making and finding elements. Text goes in as text: nothing here takes markup.

/**
 * An element. Members of it are set as properties (`onclick`, `value`, `hidden`), `data` as its
 * dataset, all else as attributes; undefined and null are left out.
 */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value == null) continue;
    if (name === "data") Object.assign(made.dataset, value);
    else if (name in made && name !== "list" && name !== "form") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((each) => each != null));
  return made;
}

/** A card: a region under a heading. `kind` gives it more classes. */
export const card = (title, kind, ...children) =>
  el(
    "section",
    { className: `card ${kind}`.trim(), ariaLabel: title },
    el("h2", {}, title),
    ...children,
  );

/** Set an element's text only when it changes: a live region says it each time. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

let numbered = 0;

/** An id that no other element has, for labels and descriptions. */
export const freshId = (word) => `${word}-${++numbered}`;

/** Call `draw` at most once a frame, however often it is asked for; `cancel` ends it. */
export function perFrame(draw) {
  let frame = 0;
  const ask = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  };
  // A hidden page gets no frames, and should not pay for them.
  ask.cancel = () => cancelAnimationFrame(frame);
  return ask;
}

/** Save text or a blob as a file. */
export function save(content, name, type = "application/octet-stream") {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
