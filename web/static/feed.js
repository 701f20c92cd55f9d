// The events that the page holds: bounded, in order, and what a reader sees of them through a filter.
//
// Rules: the feed keeps the newest FEED_MAX events and forgets the oldest. A view that stands still keeps what it shows
// and counts what waits, so that the reader's place never moves. Older events than the feed's come in pages from the journal.

import { plain, sentence } from "./sentences.js";

export const FEED_MAX = 20_000; // some 20 MB of parsed events at most; a minute or two of a busy system

export class Feed {
  constructor() {
    /** @type {any[]} oldest first */
    this.events = [];
    this.start = 0;
  }

  get length() {
    return this.events.length - this.start;
  }

  /** The position of the oldest event held, or 0. */
  get oldest() {
    return this.length ? this.events[this.start].position : 0;
  }

  append(events) {
    for (const event of events) this.events.push(event);
    this.start = Math.max(this.start, this.events.length - FEED_MAX);
    // Forgetting one by one would move the array each time; half of it at once is cheap.
    if (this.start > FEED_MAX / 2) {
      this.events = this.events.slice(this.start);
      this.start = 0;
    }
  }

  clear() {
    this.events = [];
    this.start = 0;
  }

  /** Held events that were received after a position, oldest first. */
  *after(position) {
    let low = this.start;
    let high = this.events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle].position <= position) low = middle + 1;
      else high = middle;
    }
    for (let index = low; index < this.events.length; index++) yield this.events[index];
  }

  find(position) {
    const { value } = this.after(position - 1).next();
    return value?.position === position ? value : undefined;
  }
}

/** @typedef {{key: string, value: string}} Token a filter's part; the key `text` searches the sentences */

const SERVER_KEYS = ["type", "agent", "task", "source", "run", "correlation"];

/** `type:task.* agent:scout brief` @returns {Token[]} */
export function parseTokens(text) {
  return [...text.matchAll(/(?:(\w+):)?(?:"([^"]*)"|(\S+))/g)].map((match) => {
    const key = match[1] ?? "text";
    const value = match[2] ?? match[3] ?? "";
    return SERVER_KEYS.includes(key) ? { key, value } : { key: "text", value: match[1] ? `${match[1]}:${value}` : value };
  });
}

/** @param {Token} token */
export function formatToken({ key, value }) {
  const quoted = /\s/.test(value) ? `"${value}"` : value;
  return key === "text" ? quoted : `${key}:${quoted}`;
}

/** A topic pattern over type names: `*` is one word, `#` any number of them. */
function topic(pattern) {
  const escape = (word) => word.replace(/[^\w]/g, "\\$&");
  const source = pattern.split(".").map((word) => (word === "*" ? "[^.]+" : word === "#" ? ".*" : escape(word))).join("\\.");
  return new RegExp(`^${source.replace("\\..*", "(\\..*)?")}$`);
}

/** The fields by which the journal is asked, from an event. */
function field(event, key) {
  if (key === "task") return event.task || event.data?.task || "";
  if (key === "agent") return event.agent || event.data?.agent || "";
  if (key === "run") return event.run || "main";
  return event[key] ?? "";
}

/** @param {Token[]} tokens @param {(task: string) => string | undefined} titleOf @returns {(event: any) => boolean} */
export function matcher(tokens, titleOf) {
  const tests = tokens.map(({ key, value }) => {
    if (key === "type") {
      const pattern = topic(value);
      return (event) => pattern.test(event.type);
    }
    if (key !== "text") return (event) => field(event, key) === value;
    const wanted = value.toLowerCase();
    return (event) => `${event.type} ${plain(sentence(event, titleOf))} ${event.position}`.toLowerCase().includes(wanted);
  });
  return (event) => tests.every((test) => test(event));
}

/** The part of a filter that the journal understands. @param {Token[]} tokens */
export function query(tokens) {
  const parameters = new URLSearchParams();
  for (const { key, value } of tokens) if (key !== "text") parameters.append(key, value);
  return parameters;
}

/** What a reader sees: filtered, newest first, moving or standing still. */
export class View {
  /**
   * @param {Feed} feed @param {(event: any) => boolean} matches @param {number} [moment] the newest position shown, for a view of the past
   * @param {(event: any) => boolean} [matchesFields] what must be true even of what was found by its words
   */
  constructor(feed, matches, moment = 0, matchesFields = matches) {
    this.feed = feed;
    this.matches = matches;
    /** @type {(event: any) => boolean} the filter without its words */
    this.matchesFields = matchesFields;
    this.moment = moment;
    this.isStill = false;
    this.waiting = 0;
    this.#forgetOlder();
    this.rebuild();
  }

  rebuild() {
    this.rows = [];
    this.seen = 0;
    this.waiting = 0;
    if (!this.moment && this.boundary && this.feed.oldest > this.boundary) this.#forgetOlder(); // what lay between is gone
    this.#take();
  }

  /** Take in what arrived. */
  catchUp() {
    if (this.isStill) this.#count();
    else {
      this.#take();
      if (this.rows.length > 2 * FEED_MAX) this.rebuild();
    }
  }

  stand() {
    this.isStill = true;
  }

  go() {
    if (!this.isStill) return;
    this.isStill = false;
    this.rebuild();
  }

  get length() {
    return this.rows.length + this.older.length;
  }

  /** @param {number} index 0 is the newest */
  at(index) {
    return index < this.rows.length ? this.rows[this.rows.length - 1 - index] : this.older[index - this.rows.length];
  }

  /** The position before which the next older page begins; 0 when nothing is held. */
  get oldest() {
    return this.reached || this.feed.oldest;
  }

  /** A page from the journal, newest first; an empty one says that there is no more. What was found by its words may say them otherwise. */
  addOlder(events, isFound = false) {
    if (!events.length) this.isEnd = true;
    this.boundary ||= this.oldest;
    this.reached = events.at(-1)?.position ?? this.reached;
    this.older.push(...events.filter(isFound ? this.matchesFields : this.matches));
  }

  #forgetOlder() {
    /** @type {any[]} from the journal, newest first */
    this.older = [];
    this.boundary = this.reached = this.moment ? this.moment + 1 : 0;
    this.isEnd = false;
  }

  #take() {
    if (this.moment) return; // all of the past is older
    for (const event of this.feed.after(this.seen)) {
      this.seen = event.position;
      if (this.matches(event)) this.rows.push(event);
    }
  }

  #count() {
    for (const event of this.feed.after(this.seen)) {
      this.seen = event.position;
      if (this.matches(event)) this.waiting += 1;
    }
  }
}
