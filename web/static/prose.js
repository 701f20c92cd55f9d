// Text that an agent wrote, as a reader wants it: headings, lists, quotes, code and emphasis of Markdown.
//
// Rules: a text becomes a tree of plain values, and the tree becomes elements; nothing in it is ever parsed as markup, no
// address in it is followed, and what is not understood stays as it was written. Pure but for the drawing at the end.

import { html } from "./vendor/htm-preact-standalone.module.js";

const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const BULLET = /^\s*[-*+]\s+(.*)$/;
const NUMBERED = /^\s*\d{1,9}[.)]\s+(.*)$/;
const QUOTE = /^>\s?(.*)$/;
const FENCE = /^\s*(```|~~~)/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const SPAN = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|__([^_\n]+)__|\*([^*\s][^*\n]*)\*|\[([^\]\n]+)\]\(([^)\s]+)\)/g;

/** @typedef {{kind: "text" | "code" | "strong" | "em" | "link", text: string, to?: string}} Span */

/** A line's parts, in order. @param {string} text @returns {Span[]} */
export function spans(text) {
  /** @type {Span[]} */
  const found = [];
  let from = 0;
  for (const match of text.matchAll(SPAN)) {
    if (match.index > from) found.push({ kind: "text", text: text.slice(from, match.index) });
    const [, code, bold, strong, em, label, to] = match;
    if (code) found.push({ kind: "code", text: code });
    else if (bold || strong) found.push({ kind: "strong", text: bold || strong });
    else if (em) found.push({ kind: "em", text: em });
    else found.push({ kind: "link", text: label, to });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ kind: "text", text: text.slice(from) });
  return found;
}

/** @typedef {{kind: "heading" | "paragraph" | "quote" | "code" | "bullets" | "numbers" | "rule", level?: number, lines: string[]}} Block */

/** A text's blocks, in order. @param {string} text @returns {Block[]} */
export function blocks(text) {
  /** @type {Block[]} */
  const found = [];
  /** @type {Block | undefined} */
  let open;
  let fence = "";
  const begin = (kind, line, level) => {
    open = { kind, level, lines: [line] };
    found.push(open);
  };
  const join = (kind, line) => (open?.kind === kind ? open.lines.push(line) : begin(kind, line));
  for (const line of text.replaceAll("\r", "").split("\n")) {
    const mark = FENCE.exec(line)?.[1];
    if (fence) {
      if (mark === fence) fence = "";
      else open?.lines.push(line);
    } else if (mark) {
      fence = mark;
      open = { kind: "code", lines: [] };
      found.push(open);
    } else if (!line.trim()) {
      if (open?.kind !== "bullets" && open?.kind !== "numbers") open = undefined; // a list goes on after an empty line
    } else if (RULE.test(line)) {
      begin("rule", "");
      open = undefined;
    } else {
      const [heading, bullet, numbered, quote] = [HEADING, BULLET, NUMBERED, QUOTE].map((each) => each.exec(line));
      if (heading) {
        begin("heading", heading[2], heading[1].length);
        open = undefined;
      } else if (bullet) join("bullets", bullet[1]);
      else if (numbered) join("numbers", numbered[1]);
      else if (quote) join("quote", quote[1]);
      else if ((open?.kind === "bullets" || open?.kind === "numbers") && /^\s/.test(line)) open.lines[open.lines.length - 1] += ` ${line.trim()}`;
      else join("paragraph", line);
    }
  }
  return found;
}

const Line = ({ text }) => spans(text).map(({ kind, text: words, to }, index) => {
  switch (kind) {
    case "code":
      return html`<code key=${index}>${words}</code>`;
    case "strong":
      return html`<b key=${index}>${words}</b>`;
    case "em":
      return html`<i key=${index}>${words}</i>`;
    case "link":
      return html`<span key=${index} title=${to}>${words} <span class="faint">(${to})</span></span>`;
    default:
      return words;
  }
});

function Part({ block: { kind, lines, level = 1 } }) {
  switch (kind) {
    case "heading":
      return html`<p class="heading" role="heading" aria-level=${Math.min(6, level + 2)} data-level=${level}><${Line} text=${lines[0]} /></p>`;
    case "bullets":
      return html`<ul>${lines.map((each, index) => html`<li key=${index}><${Line} text=${each} /></li>`)}</ul>`;
    case "numbers":
      return html`<ol>${lines.map((each, index) => html`<li key=${index}><${Line} text=${each} /></li>`)}</ol>`;
    case "quote":
      return html`<blockquote><${Line} text=${lines.join(" ")} /></blockquote>`;
    case "code":
      return html`<pre tabindex="0">${lines.join("\n")}</pre>`;
    case "rule":
      return html`<hr />`;
    default:
      return html`<p><${Line} text=${lines.join("\n")} /></p>`;
  }
}

/** @param {{text: string}} props */
export const Prose = ({ text }) => html`<div class="text prose">${blocks(text).map((block, index) => html`<${Part} key=${index} block=${block} />`)}</div>`;
