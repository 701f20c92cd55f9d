// One event in full: its sentence, its place in the chain of causes, and its JSON.

import { readEvents } from "./api.js";
import { formatToken } from "./feed.js";
import { milliseconds, number } from "./format.js";
import { Chip, Copy, Icon } from "./parts.js";
import { plain, sentence } from "./sentences.js";
import { feed, opened, titleOf } from "./store.js";
import { moment } from "./times.js";
import { html, useEffect, useState } from "./vendor/htm-preact-standalone.module.js";

const CAUSES_MAX = 32;
const AHEAD = "1000"; // how many of the next events are searched for effects
const EFFECTS_MAX = 40; // rows of the tree; what follows those is one click further

/** Events by position: those held, and those asked for. */
class Known {
  constructor() {
    /** @type {Map<number, any>} */
    this.events = new Map();
  }
  add(events) {
    for (const event of events) this.events.set(event.position, event);
  }
  async find(position) {
    const held = this.events.get(position) ?? feed.find(position);
    if (held) return held;
    const page = await readEvents(new URLSearchParams({ after: String(position - 1), before: String(position + 1), limit: "1" }));
    this.add(page);
    return this.events.get(position);
  }
}

/** What led to an event, first cause first, and what it led to. @returns {Promise<{depth: number, event: any}[]>} */
async function chain(event) {
  const known = new Known();
  // Effects follow soon: the next events of the journal, and what the feed holds, are where they are.
  known.add(await readEvents(new URLSearchParams({ after: String(event.position), limit: AHEAD })).catch(() => []));
  known.add(feed.after(event.position));
  const causes = [];
  for (let at = event; at?.cause && causes.length < CAUSES_MAX; ) {
    at = await known.find(at.cause).catch(() => undefined);
    if (at) causes.unshift(at);
  }
  const lines = [...causes, event].map((each, depth) => ({ event: each, depth }));
  const byCause = new Map();
  for (const each of [...known.events.values()].sort((a, b) => a.position - b.position)) {
    byCause.set(each.cause, [...(byCause.get(each.cause) ?? []), each]);
  }
  const add = (cause, depth) => {
    for (const each of byCause.get(cause) ?? []) {
      if (lines.length > causes.length + EFFECTS_MAX) return;
      lines.push({ event: each, depth });
      add(each.position, depth + 1);
    }
  };
  add(event.position, causes.length + 1);
  return lines;
}

function Chain({ event }) {
  const [lines, set] = useState([{ event, depth: 0 }]);
  useEffect(() => {
    let isCurrent = true;
    chain(event).then((found) => isCurrent && set(found), () => undefined);
    return () => void (isCurrent = false);
  }, [event.position]);
  return html`
    <ol class="chain">${lines.map(({ event: each, depth }) => html`
      <li key=${each.position} style=${{ paddingLeft: `${Math.min(depth, 10) * 12}px` }}>
        <button aria-current=${each.position === event.position ? "true" : undefined} title=${`${each.type} at position ${each.position}`}
          onClick=${() => (opened.value = each)}>
          <span class="chain-position">${each.position}</span>
          <span class="chain-text">${plain(sentence(each, titleOf))}</span>
        </button>
      </li>`)}</ol>`;
}

/** What had the focus gets it back. */
function useReturn() {
  useEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    return () => before?.isConnected && before.focus({ preventScroll: true });
  }, []);
}

export function Drawer({ event }) {
  useReturn();
  const { ms, ...raw } = event;
  const text = JSON.stringify(raw, null, 2);
  const close = () => (opened.value = null);
  return html`
    <aside class="drawer" aria-label="Event in detail">
      <header>
        <${Chip} type=${event.type} />
        <span class="faint">position ${number(event.position)}</span>
        <button class="quiet" aria-label="Close details" title="Close (Escape)" onClick=${close}><${Icon} name="close" /></button>
      </header>
      <div class="drawer-body">
        <p class="drawer-sentence">${plain(sentence(event, titleOf))}</p>
        <p class="faint">${moment(ms ?? milliseconds(event.time))} · from ${event.source}</p>
        <h3>What led here, and what followed</h3>
        <${Chain} event=${event} />
        ${event.correlation && html`
          <p><a href=${`#/activity?q=${encodeURIComponent(formatToken({ key: "correlation", value: event.correlation }))}`}>Show the whole conversation</a></p>`}
        <h3>JSON <${Copy} text=${text} label="Copy JSON" /></h3>
        <pre tabindex="0">${text}</pre>
      </div>
    </aside>`;
}
