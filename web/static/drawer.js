// One event in full: its sentence, its place in the chain of causes, and its JSON.

import { read } from "./api.js";
import { formatToken } from "./feed.js";
import { milliseconds, number } from "./format.js";
import { Chip, Copy, Icon } from "./parts.js";
import { plain, sentence } from "./sentences.js";
import { opened, titleOf } from "./store.js";
import { moment } from "./times.js";
import { html, useEffect, useState } from "./vendor/htm-preact-standalone.module.js";

const EFFECTS_MAX = 40; // rows of the tree; what follows those is one click further

/** What led to an event, first cause first, and what it led to, as a tree. @returns {Promise<{lines: {depth: number, event: any}[], isWhole: boolean}>} */
async function chain(event) {
  const found = await read(`/api/events/${event.position}/chain`);
  const lines = [...found.causes.toReversed(), found.event].map((each, depth) => ({ event: each, depth }));
  const depths = new Map(lines.map(({ event: each, depth }) => [each.position, depth]));
  for (const each of found.effects.slice(0, EFFECTS_MAX)) {
    const depth = (depths.get(each.cause) ?? lines.length) + 1;
    depths.set(each.position, depth);
    lines.push({ event: each, depth });
  }
  return { lines, isWhole: found.is_whole && found.effects.length <= EFFECTS_MAX };
}

function Chain({ event }) {
  const [{ lines, isWhole }, set] = useState({ lines: [{ event, depth: 0 }], isWhole: true });
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
      </li>`)}</ol>
    ${!isWhole && html`<p class="faint">There is more: open the first or the last of these to go on.</p>`}`;
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
