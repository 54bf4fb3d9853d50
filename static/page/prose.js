// A text that grows, shown as Markdown. Finished blocks are rendered once; what comes is appended to
// the last one as it is, and that block is rendered anew now and then.

import { el } from "./dom.js";
import { blocksOf, render } from "./markdown.js";

/** Milliseconds between two renderings of the last block, and how often its own cost at the least. */
const PAUSE_MS = 150;
const SHARE = 8;
/** Characters from which on a block without an end is shown as it is, a piece at a time. */
const LONG_BLOCK = 8_000;

export class Prose {
  constructor() {
    this.node = el("div", { className: "prose" });
    this.clear();
  }

  clear() {
    this.text = "";
    this.done = 0; // characters whose blocks are finished
    this.tail = el("div"); // the blocks that are not
    this.piece = null; // of a long block: where its text grows
    this.looked = 0; // up to where the end of a long block was looked for
    this.next = 0; // when the last block may be rendered again
    this.unsettled = false; // whether it has to be
    this.node.replaceChildren(this.tail);
  }

  /** Show the text so far. Call again while `unsettled`; `ended` renders at once what is left. */
  show(text, ended = false) {
    if (text.length < this.text.length) this.clear();
    const news = text.slice(this.text.length);
    this.text = text;
    const open = (news !== "" || this.unsettled) && this.mayEnd();
    this.unsettled = open && ((!ended && performance.now() < this.next) || this.isSelected());
    if (open && !this.unsettled) this.settle();
    else if (news) this.append(news);
  }

  /** Whether somebody selects in the blocks that would be replaced: a selection is left alone. */
  isSelected() {
    const selection = getSelection();
    return !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(this.tail);
  }

  /** Whether rendering would help: not in the midst of a block that is long already. */
  mayEnd() {
    if (this.text.length - this.done <= LONG_BLOCK) return true;
    return this.text.indexOf("\n\n", Math.max(this.done, this.looked)) >= 0;
  }

  /** News, as they are, at the end of what is shown. */
  append(news) {
    if (this.text.length - this.done <= LONG_BLOCK) innermost(this.tail).append(news);
    else if (this.piece === null) this.showAsItIs();
    else this.growBy(news);
  }

  /** A block too long to be rendered again and again. */
  showAsItIs() {
    this.tail.replaceChildren();
    this.piece = null;
    this.growBy(this.text.slice(this.done));
  }

  /** In pieces: laying out the last one costs the same however long the text is. */
  growBy(text) {
    for (let from = 0; from < text.length; from += LONG_BLOCK) this.grow(text.slice(from, from + LONG_BLOCK));
  }

  grow(text) {
    if (this.piece === null || this.piece.textContent.length > LONG_BLOCK) {
      this.piece = el("div", { className: "raw", dir: "auto" });
      this.tail.append(this.piece);
    }
    this.piece.append(text);
  }

  /** Render the blocks behind `done`; all but the last one are finished by that. */
  settle() {
    const began = performance.now();
    const blocks = blocksOf(this.text.slice(this.done));
    const last = Math.max(
      0,
      blocks.findLastIndex((each) => each.type !== "space"),
    );
    const finished = blocks.slice(0, last);
    if (finished.length) {
      this.tail.before(render(finished));
      this.done += finished.reduce((sum, each) => sum + each.raw.length, 0);
      this.piece = null;
    }
    this.looked = Math.max(0, this.text.length - 1);
    if (this.text.length - this.done <= LONG_BLOCK) this.tail.replaceChildren(render(blocks.slice(last)));
    else this.showAsItIs();
    this.next = began + Math.max(PAUSE_MS, (performance.now() - began) * SHARE);
  }
}

/** Elements in which text that follows may stand. */
const BLOCKS = new Set(["DIV", "P", "LI", "UL", "OL", "BLOCKQUOTE", "PRE", "H3", "H4", "H5", "H6"]);

/** The innermost last block: where the news belong. */
function innermost(place) {
  const children = [...place.childNodes].filter((each) => each.tagName !== "BUTTON" && (each.nodeType === 1 || each.data.trim()));
  const last = children.at(-1);
  return BLOCKS.has(last?.tagName) ? innermost(last) : place;
}
