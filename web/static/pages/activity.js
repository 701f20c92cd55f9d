// Activity: one line per event as it is recorded, and beside it who is there and how much there is to do.

import { current, Events, Summary } from "../eventlist.js";
import { formatToken, parseTokens } from "../feed.js";
import { number, plural, time } from "../format.js";
import { Empty, Icon } from "../parts.js";
import { setQuery } from "../route.js";
import { agents } from "../store.js";
import { lazy, shown, useSignals } from "../use.js";
import { html, useEffect, useMemo, useState } from "../vendor/htm-preact-standalone.module.js";

const TYPES = ["task.*", "bid.*", "auction.*", "agent.*", "step.*", "tool.*", "completion.*", "breaker.*", "transfer.*", "artifact.*", "checkpoint.*", "system.*"];
const TYPING_MS = 200; // a search begins when the fingers rest
/** What the page can be read without is fetched once the page can be read. */
const Scrubber = lazy(() => import("../scrubber.js"), "Scrubber", shown);
const Strip = lazy(() => import("./strip.js"), "Strip", shown);
const POST_COMMAND = 'python -m actors.main post "Say hello"';

/** The filter: tokens that are set, and words still being typed. They stand in the address. */
function Filter({ text, words }) {
  const tokens = parseTokens(text);
  const [typed, setTyped] = useState(words);
  const set = (list, rest = "") => setQuery({ q: list.map(formatToken).join(" "), w: rest });
  const [people] = useSignals(agents);
  useEffect(() => {
    const timer = setTimeout(() => setQuery({ w: typed.trim() }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const key = (event) => {
    if (event.key === "Enter" && typed.trim()) {
      set([...tokens, ...parseTokens(typed)]);
      setTyped("");
    } else if (event.key === "Backspace" && !typed && tokens.length) set(tokens.slice(0, -1));
  };
  return html`
    <div class="filter">
      <${Icon} name="search" />
      ${tokens.map((token, index) => html`
        <button class="token" key=${formatToken(token)} title="Remove from the filter" onClick=${() => set(tokens.filter((_, each) => each !== index))}>
          ${formatToken(token)}<${Icon} name="close" /></button>`)}
      <input data-search type="text" value=${typed} list="filters" autocomplete="off" spellcheck=${false} aria-label="Filter events"
        placeholder=${tokens.length ? "and …" : "Filter: words, type:task.*, agent:…, task:…"} onInput=${(event) => setTyped(event.target.value)} onKeyDown=${key} />
      <datalist id="filters">
        ${TYPES.map((type) => html`<option value=${`type:${type}`} />`)}
        ${Object.keys(people).map((id) => html`<option value=${`agent:${id}`} />`)}
      </datalist>
      <kbd aria-hidden="true">/</kbd>
    </div>`;
}

export function Activity({ query }) {
  const text = query.get("q") ?? "";
  const words = query.get("w") ?? "";
  const tokens = useMemo(() => [...parseTokens(text), ...(words ? parseTokens(words) : [])], [text, words]);
  const at = Number(query.get("at")) || 0;
  const [now, setNow] = useState({ waiting: 0, length: 0, isPaused: false, isEnd: false, top: null });
  const status = (next) => setNow((before) => (Object.keys(next).every((key) => next[key] === before[key]) ? before : next));
  return html`
    <div class="activity">
      <section class="feed" aria-labelledby="feed-title">
        <h1 id="feed-title" class="unseen">Activity</h1>
        <div class="toolbar">
          <${Filter} text=${text} words=${words} />
          ${at ? html`<button class="pause" aria-pressed="true" title="Back to what happens now (l)" onClick=${() => setQuery({ at: "" })}>
            <${Icon} name="play" />Back to live</button>` : html`<button class="pause" aria-pressed=${String(now.isPaused)} title=${now.isPaused ? "Follow (p)" : "Pause (p)"} onClick=${() => current?.pause(!now.isPaused)}>
            <${Icon} name=${now.isPaused ? "play" : "pause"} />${now.isPaused ? "Follow" : "Pause"}${now.isPaused && now.waiting > 0 && html`<span class="count">${number(now.waiting)} new</span>`}
          </button>`}
        </div>
        <${Events} tokens=${tokens} at=${at} status=${status}
          empty=${tokens.length
            ? html`<${Empty}>No event matches this filter yet; older ones of the journal are being looked through as well.<//>`
            : html`<${Empty} command=${POST_COMMAND}>Each event appears here as it is recorded. Post a task and watch it being bid for, done and paid.<//>`} />
        <${Scrubber} at=${at} />
        <p class="feed-foot">${plural(now.length, "event")} shown${at && now.top ? `, up to ${time(now.top.ms)}` : ""}${now.isEnd ? ", back to the first" : "; older ones come as you scroll"}</p>
        <${Summary} />
      </section>
      <aside class="strip" aria-label="Now"><${Strip} /></aside>
    </div>`;
}
