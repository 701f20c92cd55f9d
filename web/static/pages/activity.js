// Activity: one line per event as it is recorded, and beside it who is there and how much there is to do.

import { current, Events, Summary } from "../eventlist.js";
import { formatToken, parseTokens } from "../feed.js";
import { money, number, plural } from "../format.js";
import { Empty, Icon, Panel, State } from "../parts.js";
import { address, setQuery } from "../route.js";
import { agents, balances, counts, state, titleOf } from "../store.js";
import { useSignals } from "../use.js";
import { html, useEffect, useMemo, useState } from "../vendor/htm-preact-standalone.module.js";

const TYPES = ["task.*", "bid.*", "auction.*", "agent.*", "step.*", "tool.*", "completion.*", "breaker.*", "transfer.*", "artifact.*", "checkpoint.*", "system.*"];
const TYPING_MS = 200; // a search begins when the fingers rest
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

/** Agents and tasks at a glance. */
function Strip() {
  const [whole, people, tally, accounts] = useSignals(state, agents, counts, balances);
  if (!whole) return html`<aside class="strip" aria-label="Now"></aside>`;
  const list = Object.values(people);
  const treasury = accounts["treasury/msat"];
  return html`
    <aside class="strip" aria-label="Now">
      <${Panel} title="Agents" aside=${plural(list.length, "agent")}>
        <ul class="people">${list.map((each) => html`
          <li key=${each.agent}>
            <a href=${address("agents", each.agent)}>${each.agent}</a><${State} state=${each.status} />
            <span class="doing">${each.tasks?.length ? titleOf(each.tasks[0]) ?? each.tasks[0] : each.reason || "no task"}</span>
          </li>`)}</ul>
        ${!list.length && html`<p class="faint">No agent has joined.</p>`}
      <//>
      <${Panel} title="Tasks" aside=${number(Object.values(tally).reduce((sum, count) => sum + count, 0))}>
        <${Tally} tally=${tally} />
      <//>
      ${treasury && html`
        <${Panel} title="Treasury">
          <dl class="pairs">
            <div><dt>available</dt><dd>${money(treasury.available)}</dd></div>
            <div><dt>held</dt><dd>${money(treasury.held_out)}</dd></div>
          </dl>
        <//>`}
    </aside>`;
}

const STATES = ["created", "bidding", "assigned", "running", "completed", "failed", "cancelled", "expired"];

/** How many tasks stand where; states that no task is in are left out, but for those that a reader looks for. */
function Tally({ tally }) {
  const shown = STATES.filter((name) => tally[name] || ["bidding", "running", "completed"].includes(name));
  const most = Math.max(1, ...Object.values(tally));
  return html`
    <ul class="tally">${shown.map((name) => html`
      <li key=${name}><a href=${`#/tasks?view=table&state=${name}`}><${State} state=${name} /></a>
        <span class="bar" aria-hidden="true"><i data-state=${name} style=${{ width: `${(100 * (tally[name] ?? 0)) / most}%` }}></i></span>
        <b>${number(tally[name] ?? 0)}</b></li>`)}</ul>`;
}

export function Activity({ query }) {
  const text = query.get("q") ?? "";
  const words = query.get("w") ?? "";
  const tokens = useMemo(() => [...parseTokens(text), ...(words ? parseTokens(words) : [])], [text, words]);
  const [now, setNow] = useState({ waiting: 0, length: 0, isPaused: false, isEnd: false });
  const status = (next) => setNow((before) => (Object.keys(next).every((key) => next[key] === before[key]) ? before : next));
  return html`
    <div class="activity">
      <section class="feed" aria-labelledby="feed-title">
        <h1 id="feed-title" class="unseen">Activity</h1>
        <div class="toolbar">
          <${Filter} text=${text} words=${words} />
          <button class="pause" aria-pressed=${String(now.isPaused)} title=${now.isPaused ? "Follow (p)" : "Pause (p)"} onClick=${() => current?.pause(!now.isPaused)}>
            <${Icon} name=${now.isPaused ? "play" : "pause"} />${now.isPaused ? "Follow" : "Pause"}${now.isPaused && now.waiting > 0 && html`<span class="count">${number(now.waiting)} new</span>`}
          </button>
        </div>
        <${Events} tokens=${tokens} status=${status}
          empty=${tokens.length
            ? html`<${Empty}>No event matches this filter yet; older ones of the journal are being looked through as well.<//>`
            : html`<${Empty} command=${POST_COMMAND}>Each event appears here as it is recorded. Post a task and watch it being bid for, done and paid.<//>`} />
        <p class="feed-foot">${plural(now.length, "event")} shown${now.isEnd ? ", back to the first" : "; older ones come as you scroll"}</p>
        <${Summary} />
      </section>
      <${Strip} />
    </div>`;
}
