// Tasks: the same tasks as a board by state or as a table; one of them in full; and a form to post the next.

import { duration, number } from "../format.js";
import { Ago, Choice, Countdown, Money, useMay } from "../details.js";
import { Empty, Icon, State } from "../parts.js";
import { address, go, setQuery } from "../route.js";
import { counts, now_ms, serverNow, tasks } from "../store.js";
import { useSignals } from "../use.js";
import { ago } from "../times.js";
import { html } from "../vendor/htm-preact-standalone.module.js";
import { Lease, useLeases } from "./leases.js";
import { Post } from "./post.js";
import { Schedules } from "./schedules.js";
import { Task } from "./task.js";

const CARDS_MAX = 24; // per column: more is what the table is for
const ROWS_MAX = 300;
const DOTS_MAX = 12;

const COLUMNS = [
  { name: "Bidding", states: ["created", "bidding"] },
  { name: "Assigned", states: ["assigned"] },
  { name: "Running", states: ["running"] },
  { name: "Completed", states: ["completed"] },
  { name: "Ended otherwise", states: ["failed", "cancelled", "expired"] },
];

const newest = (list) => list.sort((a, b) => b.created_us - a.created_us || (a.task < b.task ? 1 : -1));

/** One sealed dot per bid: that it is there is all that anyone may know. */
export const Bids = ({ bids }) => html`
  <span class="bids" aria-label=${`${bids} sealed ${bids === 1 ? "bid" : "bids"}`}>
    ${Array.from({ length: Math.min(bids, DOTS_MAX) }, (_, index) => html`<i key=${index}></i>`)}
    ${bids > DOTS_MAX ? `+${bids - DOTS_MAX}` : bids === 0 ? "no bids" : ""}
  </span>`;

/** What a state has to say on a card. */
function Now({ task }) {
  switch (task.state) {
    case "bidding":
      return html`<span class="card-line"><${Countdown} opened_us=${task.auction_opened_us} closes_us=${task.auction_closes_us} /><${Bids} bids=${task.bids ?? 0} /><${Money} amount=${task.reward_msat} /></span>`;
    case "assigned":
    case "running":
      return html`<span class="card-line"><${Lease} task=${task} isBare /><b data-kind="agent">${task.agent}</b><${Money} amount=${task.price_msat} /></span>`;
    case "completed":
      return html`<span class="card-line"><b data-kind="agent">${task.agent}</b><${Money} amount=${task.price_msat} /></span>`;
    case "created":
      return html`<span class="card-line"><span class="clip">waits for its money</span><${Money} amount=${task.reward_msat} /></span>`;
    default:
      return html`<span class="card-line"><${State} state=${task.state} /><span class="clip">${task.reason}</span></span>`;
  }
}

const Card = ({ task }) => html`
  <li><a class="card" data-item href=${address("tasks", task.task)}>
    <span class="card-title">${task.title}</span>
    <${Now} task=${task} />
    ${task.agent && task.explanation && html`<span class="why" title=${task.explanation}>${task.explanation}</span>`}
    <span class="card-foot"><span><span class="id">${task.task}</span>${task.attempt > 1 ? `, attempt ${task.attempt}` : ""}</span><${Ago} us=${task.updated_us} /></span>
  </a></li>`;

function Board({ list, tally }) {
  return html`
    <div class="board">${COLUMNS.map(({ name, states }) => {
      const mine = list.filter((task) => states.includes(task.state));
      if (states.some((each) => isOver({ state: each }))) mine.sort((a, b) => b.updated_us - a.updated_us); // what ended last comes first
      const total = states.reduce((sum, state) => sum + (tally[state] ?? 0), 0);
      const more = Math.max(total, mine.length) - CARDS_MAX;
      return html`
        <section class="column" key=${name} aria-label=${name}>
          <h2>${name} <span class="aside">${number(Math.max(total, mine.length))}</span></h2>
          <ul>${mine.slice(0, CARDS_MAX).map((task) => html`<${Card} key=${task.task} task=${task} />`)}</ul>
          ${more > 0 && html`<a class="more" href=${`#/tasks?view=table&state=${states[0]}`}>${number(more)} more in the table</a>`}
        </section>`;
    })}</div>`;
}

function Table({ list }) {
  const [now] = useSignals(now_ms);
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Tasks as a table">
    <table>
      <thead><tr><th>Task</th><th>Title</th><th>State</th><th>Agent</th><th class="figure">At most</th><th class="figure">Price</th><th class="figure">Bids</th><th class="figure">Attempt</th><th class="figure">Took</th><th>Posted</th></tr></thead>
      <tbody>${list.slice(0, ROWS_MAX).map((task) => html`
        <tr key=${task.task}>
          <td class="id">${task.task}</td>
          <td class="wide"><a data-item href=${address("tasks", task.task)}>${task.title}</a></td>
          <td><${State} state=${task.state} /></td>
          <td>${task.agent ? html`<a href=${address("agents", task.agent)}>${task.agent}</a>` : html`<span class="faint">–</span>`}</td>
          <td class="figure"><${Money} amount=${task.reward_msat} /></td>
          <td class="figure">${task.price_msat ? html`<${Money} amount=${task.price_msat} />` : html`<span class="faint">–</span>`}</td>
          <td class="figure">${number(task.bids ?? 0)}</td>
          <td class="figure">${task.attempt || html`<span class="faint">–</span>`}</td>
          <td class="figure">${duration(((isOver(task) ? task.updated_us / 1000 : serverNow()) - task.created_us / 1000) / 1000)}</td>
          <td><time title=${new Date(task.created_us / 1000).toLocaleString()}>${ago(task.created_us / 1000, now)}</time></td>
        </tr>`)}</tbody>
    </table></div>
    ${list.length > ROWS_MAX && html`<p class="faint foot">The newest ${number(ROWS_MAX)} of ${number(list.length)} are shown; search for the others.</p>`}`;
}

/** @param {any} task */
export const isOver = (task) => ["completed", "failed", "cancelled", "expired"].includes(task.state);

const STATES = ["", "created", "bidding", "assigned", "running", "completed", "failed", "cancelled", "expired"];

export function Tasks({ id, query }) {
  const [items, tally] = useSignals(tasks, counts);
  const mayPost = useMay("task");
  useLeases();
  if (id) return html`<${Task} id=${id} />`;
  const view = query.get("view") ?? "board";
  const text = (query.get("q") ?? "").toLowerCase();
  const state = query.get("state") ?? "";
  const all = Object.values(items);
  const list = newest(all.filter((task) =>
    (!state || task.state === state) && (!text || `${task.title} ${task.task} ${task.agent ?? ""}`.toLowerCase().includes(text))));
  return html`
    <header class="page-head">
      <h1>Tasks</h1>
      <input data-search class="search" type="search" placeholder="Search titles, ids, agents" aria-label="Search tasks" value=${query.get("q") ?? ""}
        onInput=${(event) => setQuery({ q: event.target.value })} />
      ${view === "table" && html`
        <select aria-label="State" value=${state} onChange=${(event) => setQuery({ state: event.target.value })}>
          ${STATES.map((name) => html`<option value=${name}>${name ? `${name} (${number(tally[name] ?? 0)})` : "every state"}</option>`)}
        </select>`}
      <${Choice} label="View" value=${view} options=${[["board", "Board", "board"], ["table", "Table", "table"], ["schedules", "Schedules", "clock"]]}
        choose=${(next) => setQuery({ view: next === "board" ? "" : next, state: "" })} />
      ${mayPost && html`<button class="primary" onClick=${() => setQuery({ new: "1" })}><${Icon} name="plus" />Post a task</button>`}
    </header>
    ${view === "schedules" ? html`<${Schedules} />` : !all.length
      ? html`<${Empty} command='python -m actors.main post "Say hello"'>Tasks appear here as they are posted: open for bids, at work, done and paid.<//>`
      : !list.length ? html`<${Empty}>No task matches. Clear the search to see all ${number(all.length)}.<//>`
      : view === "table" ? html`<${Table} list=${list} />` : html`<${Board} list=${list} tally=${text ? {} : tally} />`}
    ${query.get("new") && mayPost && html`<${Post} close=${() => setQuery({ new: "" })} posted=${(task) => go(address("tasks", task))} />`}`;
}
