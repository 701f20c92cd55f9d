// The memory as a long table in few elements: a row for each fact, with what it took the place of below it.

import { ago, moment } from "../times.js";
import { duration } from "../format.js";
import { RowList } from "../list.js";
import { address } from "../route.js";
import { now_ms } from "../store.js";
import { standing } from "./facts.js";

const NEAR_END = 60; // rows from the end at which the next page is fetched
const CELLS = ["fact-words", "fact-by", "fact-for", "fact-valid", "fact-more"];

/** Agents are known by their short names. */
export const speaker = (who) => who.replace(/^agents\//, "");

/** For whom a fact is, in words. */
export function readers(fact) {
  if (fact.audience === "everyone") return "everyone";
  if (fact.audience === "owner") return `${speaker(fact.owner)} only`;
  return [fact.owner, ...fact.readers].map(speaker).join(", ");
}

/** Since when it is so, or when it was, in few words. */
export function validity(fact, now) {
  const [from, to] = [fact.valid_from_us / 1000, fact.valid_to_us / 1000];
  switch (standing(fact, now)) {
    case "ended": return `ended ${ago(to, now)}`;
    case "over": return `until ${ago(to, now)}`;
    case "superseded": return `corrected ${ago(to, now)}`;
    case "later": return `from in ${duration((from - now) / 1000)}`;
    default: return to ? `for ${duration((to - now) / 1000)} more` : `since ${ago(from, now)}`;
  }
}

/** The same to the second. */
export const span = (fact) => `From ${moment(fact.valid_from_us / 1000)}${fact.valid_to_us ? ` to ${moment(fact.valid_to_us / 1000)}` : ""}`;

function makeRow() {
  const row = document.createElement("div");
  row.className = "fact";
  row.setAttribute("role", "row");
  for (const name of CELLS) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.setAttribute("role", "cell");
    row.append(cell);
  }
  const link = document.createElement("a");
  link.dataset.item = "";
  row.children[0].append(link, document.createElement("span"));
  const fold = document.createElement("button");
  fold.className = "quiet";
  row.children[4].append(fold);
  return row;
}

/** The table over one reading of the memory, outside the component tree: it is drawn with every scroll. */
export class FactList {
  /** @param {HTMLElement} viewport @param {import("./facts.js").Facts} facts @param {(error: Error) => void} failed */
  constructor(viewport, facts, failed) {
    this.viewport = viewport;
    this.facts = facts;
    this.failed = failed;
    this.shown = "";
    this.at = -1; // the row that the keyboard is on
    this.rows = new RowList(viewport, { make: makeRow, fill: (row, index) => this.fill(row, index), scrolled: () => this.fetchMore() });
    this.rows.spacer.setAttribute("role", "rowgroup");
    this.onClick = (event) => {
      const index = Number(event.target.closest("button")?.closest(".fact")?.dataset.index ?? -1);
      if (index >= 0) this.unfold(index);
    };
    this.onKey = (event) => this.key(event);
    this.onFocus = (event) => (this.at = Number(event.target.closest(".fact")?.dataset.index ?? this.at));
    viewport.addEventListener("click", this.onClick);
    viewport.addEventListener("keydown", this.onKey);
    viewport.addEventListener("focusin", this.onFocus);
  }

  /** The facts, or the time, or what is shown beside, have changed. @param {string} shown */
  update(shown) {
    this.shown = shown;
    this.viewport.setAttribute("aria-rowcount", String(this.facts.next ? -1 : this.facts.rows.length));
    this.rows.update(this.facts.rows.length);
    this.fetchMore();
  }

  fill(row, index) {
    const item = this.facts.rows[index];
    if (!item) return;
    const { fact, depth } = item;
    const now = now_ms.peek();
    const [words, by, forWhom, valid, more] = row.children;
    row.dataset.index = index;
    row.dataset.standing = standing(fact, now);
    row.dataset.depth = depth;
    row.setAttribute("aria-rowindex", String(index + 1));
    row.toggleAttribute("data-shown", fact.fact === this.shown);
    const [link, text] = words.children;
    link.href = address("memory", fact.fact) + (location.hash.includes("?") ? location.hash.slice(location.hash.indexOf("?")) : "");
    link.textContent = depth ? "before" : fact.subject;
    link.setAttribute("aria-label", depth ? `before: ${fact.subject}, ${fact.fact}` : fact.subject);
    text.textContent = words.title = fact.text;
    by.textContent = speaker(fact.by);
    by.title = fact.by === fact.owner ? `Said by ${fact.by}` : `Said by ${fact.by}; it is ${fact.owner}'s`;
    forWhom.textContent = readers(fact);
    forWhom.dataset.audience = fact.audience;
    valid.textContent = validity(fact, now);
    valid.title = span(fact);
    const fold = /** @type {HTMLButtonElement} */ (more.firstElementChild);
    fold.hidden = depth > 0 || !fact.earlier;
    const isOpen = this.facts.unfolded.has(fact.fact);
    fold.textContent = `${isOpen ? "hide" : "show"} ${fact.earlier} earlier`;
    fold.setAttribute("aria-expanded", String(isOpen));
    fold.setAttribute("aria-label", `${fold.textContent} of ${fact.subject}`);
  }

  fetchMore() {
    const end = (this.viewport.scrollTop + this.rows.height) / this.rows.rowHeight;
    if (this.facts.next && !this.facts.error && end > this.facts.rows.length - NEAR_END) this.facts.more();
  }

  unfold(index) {
    this.facts.unfold(this.facts.rows[index].fact).catch(this.failed);
  }

  /** Rows are recycled, so the list itself knows where the keyboard is. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    const opens = { ArrowRight: true, ArrowLeft: false }[event.key];
    if (by !== undefined) this.focus(this.at + by);
    else if (opens !== undefined && this.at >= 0 && this.facts.rows[this.at]?.fact.earlier) {
      if (this.facts.unfolded.has(this.facts.rows[this.at].fact.fact) !== opens && !this.facts.rows[this.at].depth) this.unfold(this.at);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  focus(index) {
    this.at = Math.max(0, Math.min(this.facts.rows.length - 1, index));
    this.rows.reveal(this.at);
    this.rows.draw();
    const row = this.rows.rows.find((each) => !each.hidden && each.dataset.index === String(this.at));
    row?.querySelector("a")?.focus({ preventScroll: true });
  }

  close() {
    this.viewport.removeEventListener("click", this.onClick);
    this.viewport.removeEventListener("keydown", this.onKey);
    this.viewport.removeEventListener("focusin", this.onFocus);
    this.rows.close();
  }
}
