// The live list of events: a view of the feed drawn by recycled rows. It stands still as soon as the reader leaves its top.

import { readPage } from "./api.js";
import { matcher, query, View } from "./feed.js";
import { time } from "./format.js";
import { RowList } from "./list.js";
import { Empty } from "./parts.js";
import { learnt, plain, sentence, subject } from "./sentences.js";
import { arrived, feed, opened, tell, titleOf } from "./store.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.module.js";
import { effect } from "./vendor/signals-core.module.js";
import { isShown, nextFrame, rarely } from "./use.js";

const PAGE = 200;
const SCAN_PAGE = 1_000; // events that are read at once where each has to be looked at
const NEAR_END = 40; // rows from the end at which the next page is fetched

/** The words of a filter. */
const text = (tokens) => tokens.filter(({ key }) => key === "text").map(({ value }) => value).join(" ");

function makeRow() {
  const row = document.createElement("div");
  row.className = "event";
  row.setAttribute("role", "option");
  for (const name of ["event-time", "chip", "event-text", "event-position"]) {
    const cell = document.createElement("span");
    cell.className = name;
    row.append(cell);
  }
  return row;
}

/** Sentences are made of text nodes and marked spans; nothing in them is ever parsed. */
function write(cell, parts) {
  const nodes = parts.map((part) => {
    if (typeof part === "string") return document.createTextNode(part);
    const mark = document.createElement("b");
    mark.dataset.kind = part.kind;
    mark.textContent = part.text;
    return mark;
  });
  cell.replaceChildren(...nodes);
}

/** A list over one view, outside the component tree: it redraws too often for that. */
class EventList {
  constructor(viewport, view, changed) {
    this.viewport = viewport;
    this.view = view;
    this.changed = changed;
    this.selected = -1; // a position
    this.isPaused = false;
    this.isLoading = false;
    /** Whether the journal's index knows the words; those that only our sentences say are looked for here. */
    this.isIndexed = /[\p{L}\p{N}]/u.test(text(view.tokens)) || !text(view.tokens);
    this.rows = new RowList(viewport, { make: makeRow, fill: (row, index) => this.fill(row, index), scrolled: () => this.follow() });
    this.refresh = this.refresh.bind(this);
    rarely.then(() => this.rows.draw(), () => undefined); // without them the types are named as they are
    this.stop = effect(() => {
      arrived.value;
      nextFrame(this.refresh);
    });
  }

  refresh() {
    if (!this.view.feed.length && this.view.length) this.view.rebuild(); // the history was given up
    this.view.catchUp();
    this.rows.update(this.view.length);
    this.changed({ waiting: this.view.waiting, length: this.view.length, isPaused: this.view.isStill, isEnd: this.view.isEnd, searched: this.view.searched, top: this.view.at(0) });
    if (this.view.length) isShown();
    this.fetchOlder();
  }

  fill(row, index) {
    const event = this.view.at(index);
    if (!event) return;
    const title = titleOf(event.task || event.data?.task) ?? "";
    const [when, chip, words, position] = row.children;
    row.setAttribute("aria-selected", String(event.position === this.selected));
    row.setAttribute("aria-setsize", String(this.view.length));
    row.setAttribute("aria-posinset", String(index + 1));
    row.id = `event-${event.position}`;
    if (row.dataset.position === String(event.position) && row.dataset.title === title && row.dataset.learnt === String(learnt())) return;
    row.dataset.position = event.position;
    row.dataset.learnt = String(learnt());
    row.dataset.title = title;
    row.dataset.subject = subject(event.type);
    when.textContent = time(event.ms);
    chip.textContent = event.type;
    chip.dataset.subject = row.dataset.subject;
    const parts = sentence(event, titleOf);
    write(words, parts);
    row.title = plain(parts);
    position.textContent = String(event.position);
  }

  /** Standing at the top is following; anywhere else the list stands still. */
  follow() {
    const isTop = this.viewport.scrollTop < this.rows.rowHeight / 2;
    if (isTop && !this.isPaused) this.view.go();
    else this.view.stand();
    nextFrame(this.refresh);
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (!isPaused) this.viewport.scrollTop = 0;
    this.follow();
  }

  async fetchOlder() {
    const end = (this.viewport.scrollTop + this.rows.height) / this.rows.rowHeight;
    if (this.isLoading || this.view.isEnd || !this.view.oldest || end < this.view.length - NEAR_END) return;
    this.isLoading = true;
    const words = this.isIndexed ? text(this.view.tokens) : "";
    const asked = words ? new URLSearchParams({ text: words }) : query(this.view.tokens);
    asked.set("before", String(this.view.oldest));
    asked.set("limit", String(this.isIndexed ? PAGE : SCAN_PAGE));
    try {
      const { events, head } = await readPage(asked, words ? "/search" : "");
      for (const event of events) event.ms = typeof event.time === "number" ? event.time / 1000 : Date.parse(event.time);
      events.sort((a, b) => b.position - a.position);
      if (words && !events.length && !this.view.reached) this.isIndexed = false;
      else {
        if (words && head < Number(asked.get("before")) - 1) this.view.searched ??= head; // the index is being built
        this.view.addOlder(events.filter((event) => event.position < Number(asked.get("before"))), Boolean(words));
      }
    } catch (error) {
      this.view.isEnd = true; // asked again with the next filter; the live part goes on
      tell(`Older events could not be read: ${error.message}`, true);
    }
    this.isLoading = false;
    nextFrame(this.refresh);
  }

  move(step) {
    let index = -1;
    for (let each = 0; each < this.view.length; each++) if (this.view.at(each).position === this.selected) index = each;
    index = Math.max(0, Math.min(this.view.length - 1, index + step));
    const event = this.view.at(index);
    if (!event) return;
    if (step > 0 && !this.view.isStill && index > 0) this.pause(true); // who reads is not pulled along
    this.select(event);
    this.rows.reveal(index);
  }

  select(event) {
    this.selected = event.position;
    this.viewport.setAttribute("aria-activedescendant", `event-${event.position}`);
    this.rows.draw();
    if (opened.peek()) opened.value = event;
  }

  event(position) {
    for (let index = 0; index < this.view.length; index++) if (this.view.at(index).position === position) return this.view.at(index);
    return undefined;
  }

  close() {
    this.stop();
    this.rows.close();
  }
}

/** The list that `j` and `k` move through. @type {EventList | null} */
export let current = null;

/**
 * @param {{tokens: import("./feed.js").Token[], at?: number, status?: (status: any) => void, label?: string, empty?: any}} props
 */
export function Events({ tokens, at = 0, status = () => {}, label = "Events, newest first", empty = undefined }) {
  const element = useRef(null);
  const [length, setLength] = useState(0);
  const key = JSON.stringify(tokens);
  useEffect(() => {
    const view = Object.assign(new View(feed, matcher(tokens, titleOf), at, matcher(tokens.filter(({ key }) => key !== "text"), titleOf)), { tokens });
    const list = new EventList(element.current, view, (now) => {
      setLength(now.length);
      status(now);
    });
    current = list;
    return () => {
      list.close();
      if (current === list) current = null;
    };
  }, [key, at]);
  const open = (event) => {
    const position = Number(event.target.closest(".event")?.dataset.position);
    const found = position && current?.event(position);
    if (!found) return;
    opened.value = found;
    current?.select(found);
  };
  return html`
    <div class="events-frame">
      <div ref=${element} class="events" role="listbox" tabindex="0" aria-label=${label} onClick=${open}
        onKeyDown=${(event) => event.key === "Enter" && current?.selected > 0 && (opened.value = current.event(current.selected))}></div>
      ${length === 0 && (empty ?? html`<${Empty}>Events appear here as they are recorded.<//>`)}
    </div>`;
}
