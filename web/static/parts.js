// The small pieces that every page is made of.

import { subject } from "./sentences.js";
import { RATE_SECONDS, tell } from "./store.js";
import { html } from "./vendor/htm-preact-standalone.module.js";

/** Drawn on a 16 px grid with one stroke. */
export const ICONS = {
  activity: "M1.5 8h3l2-5 3 10 2-5h3",
  tasks: "M2.5 2.5h4v11h-4zM9.5 2.5h4v7h-4z",
  agents: "M8 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 13.5c.4-2.6 2.3-4 5-4s4.6 1.4 5 4",
  approvals: "M3 8.500l3.500 3.500L13 4.500",
  ledger: "M2.5 3.500h11M2.5 8h11M2.5 12.500h7M12 10.500v4M10 12.500h4",
  router: "M2 8h4M6 8c2 0 2-4.5 4-4.500h4M6 8h8M6 8c2 0 2 4.5 4 4.500h4",
  memory: "M4 2.500h8v11l-4-3-4 3z",
  system: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  copy: "M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3",
  close: "M4 4l8 8M12 4l-8 8",
  search: "M7 11.500a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.5 10.500l3.5 3.5",
  pause: "M5.5 3.500v9M10.5 3.500v9",
  play: "M5 3.500l7 4.5-7 4.500z",
  moon: "M13 9.500A5.5 5.5 0 1 1 6.5 3a4.5 4.5 0 0 0 6.5 6.500z",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.500M8 13.500V15M1 8h1.500M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
};

export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;

/** An event's type in its subject's hue. */
export const Chip = ({ type }) => html`<span class="chip" data-subject=${subject(type)}>${type}</span>`;

/** A task's or an agent's state: a shape and a word, so that the hue is never the only sign. */
export const State = ({ state }) => html`<span class="state" data-state=${state}><i aria-hidden="true"></i>${state}</span>`;

/** Put text on the clipboard, also where the page has no secure context. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied");
  } catch {
    tell("The browser did not allow copying; select the text instead.", true);
  }
}

export const Copy = ({ text, label = "Copy" }) => html`
  <button class="quiet" title=${label} aria-label=${`${label}: ${text.length > 40 ? "text" : text}`} onClick=${() => copy(text)}><${Icon} name="copy" /></button>`;

/** A command in monospace with its copy button. */
export const Command = ({ text }) => html`<span class="command"><code>${text}</code><${Copy} text=${text} label="Copy command" /></span>`;

/** What will appear here, and one command that makes it appear. */
export const Empty = ({ children, command = "" }) => html`
  <div class="empty"><p>${children}</p>${command && html`<${Command} text=${command} />`}</div>`;

/** What happened, and what to do. */
export const Trouble = ({ error, retry = undefined }) => html`
  <div class="trouble" role="alert"><p>${error.message}</p>${retry && html`<button onClick=${retry}>Try again</button>`}</div>`;

/** A line of the last minute, one value a second; the newest is at the right. */
export function Sparkline({ values, width = 96, height = 20 }) {
  const top = Math.max(1, ...values);
  const step = width / (RATE_SECONDS - 1);
  const start = width - Math.max(0, values.length - 1) * step;
  const points = values.map((value, index) => `${(start + index * step).toFixed(1)},${(height - 1.5 - (value / top) * (height - 3)).toFixed(1)}`);
  return html`
    <svg class="sparkline" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} aria-hidden="true">
      <polygon points=${`${start.toFixed(1)},${height} ${points.join(" ")} ${width},${height}`} />
      <polyline points=${points.join(" ")} />
    </svg>`;
}

/** A section of a page with its heading. */
export const Panel = ({ title, aside = "", children, name = "" }) => html`
  <section class=${`panel ${name}`}>
    <header><h2>${title}</h2><span class="aside">${aside}</span></header>
    ${children}
  </section>`;

export const LINK_COMMAND = "python -m actors.main link";
