// Markdown as elements, safely: a job's text is a stranger's. Raw HTML in it is shown as text,
// pictures become links (a page that loads them would tell others that it was read), and DOMPurify
// takes out whatever else could run.

import { colourCode } from "./code.js";
import { copyButton } from "./copying.js";
import { el } from "./dom.js";
import DOMPurify from "../vendor/dompurify/purify.es.js";
import { Marked } from "../vendor/marked/marked.esm.js";

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => text.replace(/[&<>"]/g, (each) => ESCAPES[each]);

const SAFE = {
  ALLOWED_TAGS: [
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
  ],
  ALLOWED_ATTR: ["href", "title", "start", "rel", "target"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    heading({ tokens, depth }) {
      const level = Math.min(6, depth + 2); // below the headings of the page
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("rel", "noopener noreferrer nofollow");
  node.setAttribute("target", "_blank");
});

/** The blocks of a text: tokens with their `raw` source, which add up to the text. */
export const blocksOf = (text) => marked.lexer(text);

/** Blocks as a fragment of elements in which nothing can run. */
export function render(blocks) {
  const made = DOMPurify.sanitize(marked.parser(blocks), SAFE);
  // Each block goes the way that its own text goes; code always from left to right.
  for (const each of made.querySelectorAll("p, li, h3, h4, h5, h6, td, th, blockquote, ul, ol, table")) each.dir = "auto";
  const languages = languagesOf(blocks);
  for (const each of made.querySelectorAll("pre")) dressCode(each, languages.shift());
  return made;
}

/** The languages that the blocks of code name, in their order. */
function languagesOf(blocks) {
  const found = [];
  marked.walkTokens(blocks, (token) => {
    if (token.type === "code") found.push((token.lang ?? "").trim().split(/\s/)[0].toLowerCase());
  });
  return found;
}

function dressCode(pre, language) {
  pre.dir = "ltr";
  pre.tabIndex = 0;
  const code = pre.querySelector("code");
  if (code) colourCode(code, language);
  const box = el("div", { className: "code-block" });
  pre.replaceWith(box);
  box.append(pre, copyButton(() => pre.textContent));
}
