// Panels of which one is shown, with tabs above them: arrow keys go from one to the next.

import { el, freshId } from "./dom.js";

/** A card with a tab for each of these panels, `[title, content]`; the first is shown. */
export function tabbed(label, panels) {
  const parts = panels.map(([title, content]) => {
    const tab = el("button", { type: "button", id: freshId("tab"), role: "tab" }, title);
    const panel = el("div", { id: freshId("panel"), role: "tabpanel", "aria-labelledby": tab.id }, content);
    tab.setAttribute("aria-controls", panel.id);
    return { tab, panel };
  });
  const show = (chosen) => {
    for (const each of parts) {
      const is = each === chosen;
      each.tab.ariaSelected = String(is);
      each.tab.tabIndex = is ? 0 : -1;
      each.panel.hidden = !is;
    }
  };
  for (const [place, each] of parts.entries()) {
    each.tab.onclick = () => show(each);
    each.tab.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = parts[(place + step + parts.length) % parts.length];
      show(next);
      next.tab.focus();
    };
  }
  show(parts[0]);
  const list = el("div", { className: "panel-tabs", role: "tablist", ariaLabel: label }, parts.map(({ tab }) => tab));
  return el("section", { className: "card", ariaLabel: label }, list, parts.map(({ panel }) => panel));
}
