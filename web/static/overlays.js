// What lies over the page: the help that lists the keys, and the palette that finds pages, tasks and agents.

import { Dialog } from "./details.js";
import { toggleTheme } from "./frame.js";
import { number } from "./format.js";
import { overlay } from "./keys.js";
import { Command, LINK_COMMAND } from "./parts.js";
import { address, go, PAGES, setQuery } from "./route.js";
import { agents, head, isHalted, isPast, may, tasks } from "./store.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.module.js";

const FOUND_MAX = 11; // what fits under the palette without scrolling, beside the search of the journal
const close = () => (overlay.value = "");

const ROWS = [
  ["/", "search on this page"], ["Ctrl K", "find a page, task or agent, and do things"],
  ...PAGES.map(({ key, name }) => [`g ${key}`, `go to ${name}`]),
  ["j  k", "next and previous"], ["Enter", "open"], ["p", "pause or follow the feed"], ["l", "back to live"], ["n", "post a task"],
  ["Escape", "close, or back"], ["?", "this help"],
];

export const Help = () => html`
  <${Dialog} title="Keys and help" close=${close} name="help">
    <dl class="keys">${ROWS.map(([keys, what]) => html`<div key=${keys}><dt>${keys.split(/ +/).map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
    <p>Filters are words and tokens: <code>type:task.*</code> <code>agent:scout</code> <code>task:t-1</code>. They stand in the address, so it can be shared.</p>
    ${isPast.peek() ? html`<p>Nothing runs here: what a society has left is shown, and nothing can be changed.</p>`
    : html`<p>Reading needs nothing. To act, open the link that this prints:</p><${Command} text=${LINK_COMMAND} />`}
  <//>`;

/** All that the palette knows, as name, kind and what it does. */
function choices() {
  const pages = PAGES.map(({ id, name }) => ({ kind: "page", name, act: () => go(address(id)) }));
  const people = Object.keys(agents.peek()).map((id) => ({ kind: "agent", name: id, act: () => go(address("agents", id)) }));
  const work = Object.values(tasks.peek()).reverse().map(({ task, title }) => ({ kind: "task", name: `${title} ${task}`, act: () => go(address("tasks", task)) }));
  const deeds = [
    { kind: "do", name: "Switch between light and dark", act: toggleTheme },
    { kind: "do", name: "Clear the filter of the feed", act: () => { go("#/activity"); setQuery({ q: "" }); } },
    { kind: "do", name: "Keys and help", act: () => (overlay.value = "help") },
  ];
  if (may("task")) deeds.unshift({ kind: "do", name: "Post a task", act: () => go("#/tasks?new=1") });
  if (may("admin") && !isHalted.peek()) deeds.push({ kind: "do", name: "Stop everything", act: () => /** @type {HTMLElement | null} */ (document.querySelector("button.halt"))?.click() });
  return [...pages, ...deeds, ...people, ...work];
}

/** What any words can be used for: a search of the whole journal, or a way to a position. @param {string} text */
function searches(text) {
  if (!text) return [];
  const position = Number(text.replaceAll(/[,\s]/g, ""));
  const journal = { kind: "find", name: `“${text}” in the whole journal`, act: () => go(`#/activity?w=${encodeURIComponent(text)}`) };
  if (!Number.isInteger(position) || position < 1 || position > head.peek()) return [journal];
  return [{ kind: "find", name: `Position ${number(position)} and what stood before it`, act: () => go(`#/activity?at=${position}`) }, journal];
}

export function Palette() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const input = useRef(/** @type {any} */ (null));
  useEffect(() => input.current.focus(), []);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = choices().filter(({ kind, name }) => words.every((word) => `${kind} ${name}`.toLowerCase().includes(word)));
  const isMissed = ({ name }) => Number(!name.toLowerCase().includes(text.trim().toLowerCase())); // as it was typed comes first
  found.sort((a, b) => isMissed(a) - isMissed(b)).splice(FOUND_MAX);
  found.push(...searches(text.trim()));
  const take = (choice) => {
    close();
    choice?.act();
  };
  const key = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) setAt(Math.max(0, Math.min(found.length - 1, at + by)));
    else if (event.key === "Enter") take(found[at]);
    else return;
    event.preventDefault();
  };
  return html`
    <${Dialog} title="Find and do" close=${close} name="palette">
      <input ref=${input} type="text" placeholder="A page, a task, an agent, a deed" aria-label="Find and do" role="combobox" aria-expanded="true"
        aria-controls="found" aria-activedescendant=${found.length ? `found-${at}` : undefined} value=${text} autocomplete="off" spellcheck=${false}
        onInput=${(event) => { setText(event.target.value); setAt(0); }} onKeyDown=${key} />
      <ul id="found" role="listbox" aria-label="Found">${found.map((choice, index) => html`
        <li key=${choice.kind + choice.name} id=${`found-${index}`} role="option" aria-selected=${String(index === at)} onClick=${() => take(choice)}>
          <span class="faint">${choice.kind}</span><span>${choice.name}</span></li>`)}</ul>
    <//>`;
}
