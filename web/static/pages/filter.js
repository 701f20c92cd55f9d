// What stands around the feed once it is there: its filter, and what a screen reader hears of it.

import { formatToken, parseTokens } from "../feed.js";
import { Icon } from "../parts.js";
import { setQuery } from "../route.js";
import { plain, sentence } from "../sentences.js";
import { agents, feed, titleOf } from "../store.js";
import { useSignals } from "../use.js";
import { html, useEffect, useRef, useState } from "../vendor/htm-preact-standalone.module.js";

const TYPES = ["task.*", "bid.*", "auction.*", "agent.*", "step.*", "tool.*", "completion.*", "breaker.*", "transfer.*", "artifact.*", "checkpoint.*", "system.*"];
const TYPING_MS = 200; // a search begins when the fingers rest
const SUMMARY_MS = 10_000; // a screen reader hears of the feed this often at most

/** The filter: tokens that are set, and words still being typed. They stand in the address. */
export function Filter({ text, words }) {
  const tokens = parseTokens(text);
  const [typed, setTyped] = useState(words);
  const own = useRef(words); // what was put into the address here; other words come with a link, or with the way back
  const put = (changes) => {
    own.current = changes.w;
    setQuery(changes);
  };
  const set = (list, rest = "") => put({ q: list.map(formatToken).join(" "), w: rest });
  const [people] = useSignals(agents);
  useEffect(() => {
    if (typed.trim() === own.current) return undefined;
    const timer = setTimeout(() => put({ w: typed.trim() }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    if (words === own.current) return;
    own.current = words;
    setTyped(words);
  }, [words]);
  const key = (event) => {
    if (event.key === "Enter" && typed.trim()) {
      set([...tokens, ...parseTokens(typed)]);
      setTyped("");
    } else if (event.key === "Backspace" && !typed && tokens.length) set(tokens.slice(0, -1));
  };
  return html`
      <${Icon} name="search" />
      ${tokens.map((token, index) => html`
        <button class="token" key=${formatToken(token)} title="Remove from the filter" onClick=${() => set(tokens.filter((_, each) => each !== index), typed.trim())}>
          ${formatToken(token)}<${Icon} name="close" /></button>`)}
      <input data-search type="text" value=${typed} list="filters" autocomplete="off" spellcheck=${false} aria-label="Filter events"
        placeholder=${tokens.length ? "and …" : "Filter: words, type:task.*, agent:…, task:…"} onInput=${(event) => setTyped(event.target.value)} onKeyDown=${key} />
      <datalist id="filters">
        ${TYPES.map((type) => html`<option value=${`type:${type}`} />`)}
        ${Object.keys(people).map((id) => html`<option value=${`agent:${id}`} />`)}
      </datalist>
      <kbd aria-hidden="true">/</kbd>`;
}

/** What a screen reader hears of the feed: how much is new and the last of it, now and then. */
export function Summary() {
  const element = useRef(null);
  useEffect(() => {
    let last = feed.events.at(-1)?.position ?? 0;
    const timer = setInterval(() => {
      const fresh = [...feed.after(last)];
      const newest = fresh.at(-1);
      if (!newest) return;
      last = newest.position;
      const line = document.createElement("p");
      line.textContent = `${fresh.length} new events. Latest: ${plain(sentence(newest, titleOf))}`;
      element.current.replaceChildren(line);
    }, SUMMARY_MS);
    return () => clearInterval(timer);
  }, []);
  return html`<div ref=${element} class="unseen" role="log" aria-live="polite" aria-label="Summary of new events"></div>`;
}
