// What of the memory has been read: facts newest first, or the best matches of a search, with the versions that were
// unfolded; kept true while others remember, correct and end.

import { read } from "../api.js";
import { feed, head } from "../store.js";

const PAGE = 200;
const FOUND = 200; // more matches than anyone reads

/** @typedef {{fact: string, subject: string, text: string, owner: string, by: string, audience: string, readers: string[], valid_from_us: number, valid_to_us: number, recorded_us: number, task: string, reason: string, supersedes: string, superseded_by: string, earlier: number, is_ended: boolean}} Fact */
/** @typedef {{q: string, which: string, at: string}} Wish */

const number = ({ fact }) => Number(fact.slice(2));

/** How a fact stands at a moment. @param {Fact} fact @param {number} now_ms */
export function standing(fact, now_ms) {
  if (fact.is_ended) return "ended";
  if (fact.valid_from_us / 1000 > now_ms) return "later";
  if (fact.valid_to_us && fact.valid_to_us / 1000 <= now_ms) return fact.superseded_by ? "superseded" : "over";
  return "valid";
}

export class Facts {
  /** @param {Wish} wish @param {() => void} changed */
  constructor(wish, changed) {
    this.wish = wish;
    this.changed = changed;
    /** @type {Fact[]} */
    this.heads = [];
    /** @type {Map<string, Fact[]>} */
    this.unfolded = new Map();
    /** @type {{fact: Fact, depth: number}[]} */
    this.rows = [];
    this.held = 0;
    this.next = "";
    /** @type {Error | undefined} */
    this.error = undefined;
    this.isRead = false;
    this.isReading = false;
    this.isClosed = false;
    this.turn = 0; // what was asked for before the last refresh is too late
    this.seen = head.peek();
  }

  /** Read the first page, again too: what was read below it stays, but for what is no longer so. */
  async refresh() {
    const gone = this.changes();
    const mine = ++this.turn;
    const page = await this.fetch("");
    if (!page || mine !== this.turn) return;
    const isMore = !this.wish.q && this.heads.length > PAGE && page.next;
    const tail = isMore ? this.heads.filter((fact) => number(fact) < number(page.facts.at(-1)) && !gone.has(fact.fact)) : [];
    if (!tail.length) this.next = page.next;
    for (const fact of gone) this.unfolded.delete(fact);
    this.heads = [...page.facts, ...tail];
    this.lay();
  }

  /** Read on; a list ends where there is nothing to go on after. */
  async more() {
    if (!this.next || this.isReading) return;
    const mine = this.turn;
    const page = await this.fetch(this.next);
    if (!page || mine !== this.turn) return;
    this.next = page.next;
    this.heads.push(...page.facts);
    this.lay();
  }

  /** Show the versions that a fact has taken the place of, or no longer. @param {Fact} fact */
  async unfold(fact) {
    if (!this.unfolded.delete(fact.fact)) {
      const { versions } = await read(`/api/memory/${fact.fact}`);
      this.unfolded.set(fact.fact, versions.slice(versions.findIndex((each) => each.fact === fact.fact) + 1));
    }
    this.lay();
  }

  /** The facts that something has happened to since the last look. */
  changes() {
    const gone = new Set();
    for (const event of feed.after(this.seen)) {
      this.seen = event.position;
      if (event.type === "memory.corrected") gone.add(event.data.supersedes);
      if (event.type === "memory.ended") gone.add(event.data.fact);
    }
    return gone;
  }

  /** @param {string} after @returns {Promise<{facts: Fact[], next: string, held: number} | undefined>} */
  async fetch(after) {
    const { q, which, at } = this.wish;
    const asked = new URLSearchParams({ limit: String(q ? FOUND : PAGE) });
    for (const [name, value] of Object.entries(q ? { query: q, as_of: at } : { which, as_of: at, after })) if (value) asked.set(name, value);
    this.isReading = true;
    try {
      const page = await read(`/api/memory?${asked}`);
      if (this.isClosed) return undefined;
      [this.error, this.isRead, this.held] = [undefined, true, page.held];
      return page;
    } catch (error) {
      this.error = error;
      if (!this.isClosed) this.changed();
      return undefined;
    } finally {
      this.isReading = false;
    }
  }

  lay() {
    this.rows = this.heads.flatMap((fact) => [{ fact, depth: 0 }, ...(this.unfolded.get(fact.fact) ?? []).map((each) => ({ fact: each, depth: 1 }))]);
    this.changed();
  }

  close() {
    this.isClosed = true;
  }
}
