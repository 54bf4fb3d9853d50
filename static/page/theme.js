// Light and dark: as the system is, until the button says otherwise.

const dark = matchMedia("(prefers-color-scheme: dark)");

/** "light" or "dark", whoever has chosen it. */
export const theme = () => localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");

const apply = () => {
  document.documentElement.dataset.theme = theme();
  dispatchEvent(new Event("themechange"));
};

/** Take the other one, and remember it unless it is the system's. */
export function toggle() {
  const wanted = theme() === "dark" ? "light" : "dark";
  if (wanted === (dark.matches ? "dark" : "light")) localStorage.removeItem("theme");
  else localStorage.setItem("theme", wanted);
  apply();
}

/** A colour of the present theme, for what is drawn on a canvas. */
export const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

dark.addEventListener("change", apply);
apply();
