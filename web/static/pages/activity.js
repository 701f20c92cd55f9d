// Activity: one line per event as it is recorded, and beside it who is there and how much there is to do.

import { current, Events } from "../eventlist.js";
import { parseTokens } from "../feed.js";
import { number, plural, time } from "../format.js";
import { Empty, Icon } from "../parts.js";
import { setQuery } from "../route.js";
import { lazy, shown } from "../use.js";
import { html, useMemo, useState } from "../vendor/htm-preact-standalone.module.js";

/** What the page can be read without is fetched once the page can be read. */
const Filter = lazy(() => import("./filter.js"), "Filter", shown);
const Summary = lazy(() => import("./filter.js"), "Summary", shown);
const Scrubber = lazy(() => import("../scrubber.js"), "Scrubber", shown);
const Strip = lazy(() => import("./strip.js"), "Strip", shown);
const POST_COMMAND = 'python -m actors.main post "Say hello"';

export function Activity({ query }) {
  const text = query.get("q") ?? "";
  const words = query.get("w") ?? "";
  const tokens = useMemo(() => [...parseTokens(text), ...(words ? parseTokens(words) : [])], [text, words]);
  const at = Number(query.get("at")) || 0;
  const [now, setNow] = useState({ waiting: 0, length: 0, isPaused: false, isEnd: false, searched: undefined, top: null });
  const status = (next) => setNow((before) => (Object.keys(next).every((key) => next[key] === before[key]) ? before : next));
  return html`
    <div class="activity">
      <section class="feed" aria-labelledby="feed-title">
        <h1 id="feed-title" class="unseen">Activity</h1>
        <div class="toolbar">
          <div class="filter"><${Filter} text=${text} words=${words} /></div>
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
        <p class="feed-foot">${plural(now.length, "event")} shown${at && now.top ? `, up to ${time(now.top.ms)}` : ""}${now.isEnd ? ", back to the first" : "; older ones come as you scroll"}${now.searched >= 0 ? `; searched up to position ${number(now.searched)}, the rest is still being indexed` : ""}</p>
        <${Summary} />
      </section>
      <aside class="strip" aria-label="Now"><${Strip} /></aside>
    </div>`;
}
