// Words for screen readers: what is worth hearing, not every token, and not all at once.

/** Milliseconds in which announcements are gathered; of more than so many only the last are said. */
const GATHER_MS = 700;
const SAID = 3;

const place = document.getElementById("said");
let waiting = [];
let timer = 0;

/** Say something when there is a moment for it. */
export function announce(text) {
  waiting.push(text);
  timer ||= setTimeout(() => {
    place.textContent = waiting.slice(-SAID).join(". ");
    waiting = [];
    timer = 0;
  }, GATHER_MS);
}
