// Agents: who is there, what each does now, how often it wins, what it earned; and one of them with its own feed.

import { Chart } from "../charts.js";
import { read } from "../api.js";
import { Events } from "../eventlist.js";
import { dollars, duration, money, number, plural } from "../format.js";
import { sums } from "../measures.js";
import { usePast } from "../past.js";
import { Ago, Choice, Facts, Money, useLoad } from "../details.js";
import { Empty, Icon, Panel, State } from "../parts.js";
import { address, setQuery } from "../route.js";
import { agents, state, tasks, titleOf } from "../store.js";
import { useSignals } from "../use.js";
import { percent } from "../times.js";
import { useHeard } from "./invoices.js";
import { Lease, useLeases } from "./leases.js";
import { html, useMemo } from "../vendor/htm-preact-standalone.module.js";

/** Auctions won of those that ended, as far as the agent has learned. */
function wins(agent) {
  const won = agent.completed + agent.failed + (agent.tasks?.length ?? 0);
  return { won, of: won + agent.lost };
}

const winRate = (agent) => {
  const { won, of } = wins(agent);
  return html`<span title=${`${number(won)} of ${number(of)} auctions`}>${percent(won, of)}</span>`;
};

/** What it holds, and how long each stays its own without a sign of life. */
function Leases({ agent, work }) {
  const held = (agent.tasks ?? []).map((id) => work[id]).filter(Boolean);
  if (!held.length) return html`<p class="faint">It has no task in hand.</p>`;
  return html`<ul class="lines">${held.map((task) => html`<li key=${task.task}>
    <a href=${address("tasks", task.task)}>${task.title}</a>
    <span class="inline"><${Lease} task=${task} /><span class="faint" title="Its agent loses it after so long without a heartbeat; heartbeats come every third of that">of ${duration(task.lease_s)}, attempt ${task.attempt}</span></span></li>`)}</ul>`;
}

const WORDS = { calls: "calls", tokens: "tokens", disk_bytes: "bytes on disk" };

/** How much of what is scarce it has used in the window that ends now. */
function Quotas({ agent }) {
  const heard = useHeard("quota.");
  const { value } = useLoad(() => read(`/api/quotas?agent=${encodeURIComponent(agent.agent)}`), [agent.agent, heard]);
  if (!value?.quotas.length) return null;
  return html`<${Panel} title="Quotas"><ul class="lines quotas">${value.quotas.map((each) => html`<li key=${each.resource}>
    <span>${WORDS[each.resource]}</span>
    <span class="meter" data-high=${each.used >= 0.8 * each.limit ? "" : undefined} aria-hidden="true"><i style=${{ width: `${Math.min(100, (100 * each.used) / each.limit)}%` }}></i></span>
    <span title=${`In any ${duration(each.window_s)}`}>${number(each.used)} of ${number(each.limit)}</span></li>`)}</ul><//>`;
}

/** What it does now, or why it does nothing. */
function Doing({ agent }) {
  const [work] = useSignals(tasks);
  const [first, ...more] = agent.tasks ?? [];
  if (!first) return html`<span class="faint">${agent.reason || "no task"}</span>`;
  return html`${work[first] && html`<${Lease} task=${work[first]} isBare />`}<a href=${address("tasks", first)}>${titleOf(first) ?? first}</a>${more.length > 0 && html` <span class="faint">and ${more.length} more</span>`}`;
}

const Capabilities = ({ agent }) => html`<span class="tags">${(agent.capabilities ?? []).map((each) => html`<span key=${each}>${each}</span>`)}</span>`;

/** What models cost each agent, in what the journal holds of completions. */
function useSpent() {
  const { events } = usePast("completion.completed");
  return useMemo(() => {
    const spent = /** @type {Record<string, number>} */ ({});
    for (const { data } of events) spent[data.agent] = (spent[data.agent] ?? 0) + data.cost_usd_micros;
    return spent;
  }, [events]);
}

const AgentCard = ({ agent, spent }) => html`
  <li class="agent-card">
    <header><a data-item href=${address("agents", agent.agent)}><h2>${agent.agent}</h2></a><${State} state=${agent.status} /></header>
    <p class="doing"><${Doing} agent=${agent} /></p>
    <dl class="quads">
      <div><dt>wins</dt><dd>${winRate(agent)}</dd></div>
      <div><dt>done</dt><dd>${number(agent.completed)}</dd></div>
      <div><dt>failed</dt><dd class=${agent.failed ? "fault" : ""}>${number(agent.failed)}</dd></div>
      <div><dt>earned</dt><dd><${Money} amount=${agent.earned_msat} /></dd></div>
      <div><dt>spent</dt><dd title="On models">${dollars(spent ?? 0)}</dd></div>
      <div><dt>asks from</dt><dd><${Money} amount=${agent.price_msat} /></dd></div>
    </dl>
    <${Capabilities} agent=${agent} />
  </li>`;

const Table = ({ list, spent }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label="Agents as a table"><table>
    <thead><tr><th>Agent</th><th>State</th><th>Now</th><th>Can</th><th class="figure">Wins</th><th class="figure">Done</th><th class="figure">Failed</th><th class="figure">Lost bids</th><th class="figure">Earned</th><th class="figure">Spent</th><th class="figure">Asks from</th></tr></thead>
    <tbody>${list.map((agent) => html`
      <tr key=${agent.agent}>
        <td><a data-item href=${address("agents", agent.agent)}>${agent.agent}</a></td><td><${State} state=${agent.status} /></td>
        <td class="wide"><${Doing} agent=${agent} /></td><td><${Capabilities} agent=${agent} /></td>
        <td class="figure">${winRate(agent)}</td><td class="figure">${number(agent.completed)}</td><td class="figure">${number(agent.failed)}</td>
        <td class="figure">${number(agent.lost)}</td><td class="figure"><${Money} amount=${agent.earned_msat} /></td><td class="figure">${dollars(spent[agent.agent] ?? 0)}</td><td class="figure"><${Money} amount=${agent.price_msat} /></td>
      </tr>`)}</tbody>
  </table></div>`;

const DASHES = [undefined, [6, 3], [2, 3], [10, 3, 2, 3], [4, 6], [14, 4], [1, 5]];
const EARNERS_MAX = DASHES.length; // more lines cannot be told apart: a hue means a subject, and all of this is money

const isEarning = ({ data }) => data.credit.startsWith("agents/") && data.currency === "msat";
const earner = ({ data }) => data.credit.slice("agents/".length);

/** What agents were paid, added up over time; the best earners when there are many. */
function Earnings({ people }) {
  const { events } = usePast("transfer.posted", {}, isEarning);
  const names = people.length > 1 ? [...people].sort((a, b) => b.earned_msat - a.earned_msat).slice(0, EARNERS_MAX).map(({ agent }) => agent).sort() : people.map(({ agent }) => agent);
  const key = names.join();
  const data = useMemo(() => sums(events, names, earner, ({ data: { amount } }) => amount), [events, key]);
  const series = useMemo(() => names.map((label, index) => ({ label, hue: "money", isStepped: true, isFilled: names.length === 1, dash: DASHES[index] })), [key]);
  return html`<${Panel} title="Earned over time" name="charts"><${Chart} label="Earned" data=${data} series=${series} format=${money} isNamed=${names.length > 1} empty="Nobody has been paid twice yet." /><//>`;
}

function Agent({ id }) {
  useLeases();
  const [people, whole, work] = useSignals(agents, state, tasks);
  const tokens = useMemo(() => [{ key: "agent", value: id }], [id]);
  const agent = people[id];
  const back = html`<a class="back" href="#/agents"><${Icon} name="back" />Agents</a>`;
  const { events } = usePast("completion.completed", { agent: id }, ({ data }) => data.agent === id);
  const spent = events.reduce((sum, { data }) => sum + data.cost_usd_micros, 0);
  if (!agent) return html`${back}<header class="page-head"><h1>${id}</h1></header><${Empty}>${whole ? `There is no agent ${id}.` : "Reading …"}<//>`;
  const recent = Object.values(work).filter((task) => task.agent === id).sort((a, b) => b.updated_us - a.updated_us).slice(0, 8);
  return html`
    ${back}
    <header class="page-head"><h1>${id}</h1><${State} state=${agent.status} />${agent.since_us && html`<span class="faint"><${Ago} us=${agent.since_us} /></span>`}</header>
    <div class="columns">
      <div class="main-column"><${Earnings} people=${[agent]} /><${Panel} title="What it did" name="own-feed"><${Events} tokens=${tokens} label=${`Events of ${id}, newest first`} /><//></div>
      <div class="side-column">
        <${Panel} title="Facts"><${Facts} facts=${[
          ["now", html`<${Doing} agent=${agent} />`], ["wins", winRate(agent)], ["done", number(agent.completed)], ["failed", number(agent.failed)],
          ["lost bids", number(agent.lost)], ["earned", html`<${Money} amount=${agent.earned_msat} />`], ["asks from", html`<${Money} amount=${agent.price_msat} />`],
          ["spent on models", html`<span title=${`In ${plural(events.length, "completion")}`}>${dollars(spent)}</span>`], ["because", agent.reason],
          ["can", html`<${Capabilities} agent=${agent} />`],
        ]} /><//>
        <${Panel} title="In hand"><${Leases} agent=${agent} work=${work} /><//>
        <${Quotas} agent=${agent} />
        <${Panel} title="Its last tasks">${recent.length
          ? html`<ul class="lines">${recent.map((task) => html`<li key=${task.task}><a href=${address("tasks", task.task)}>${task.title}</a><${State} state=${task.state} /></li>`)}</ul>`
          : html`<p class="faint">It has not won a task yet.</p>`}<//>
      </div>
    </div>`;
}

export function Agents({ id, query }) {
  const [people] = useSignals(agents);
  return id ? html`<${Agent} key=${id} id=${id} />` : html`<${Society} query=${query} people=${people} />`;
}

function Society({ query, people }) {
  useLeases();
  const spent = useSpent();
  const text = (query.get("q") ?? "").toLowerCase();
  const view = query.get("view") ?? "cards";
  const all = Object.values(people);
  const list = all.filter((agent) => `${agent.agent} ${agent.status} ${(agent.capabilities ?? []).join(" ")}`.toLowerCase().includes(text));
  return html`
    <header class="page-head">
      <h1>Agents</h1>
      <input data-search class="search" type="search" placeholder="Search names and capabilities" aria-label="Search agents" value=${query.get("q") ?? ""}
        onInput=${(event) => setQuery({ q: event.target.value })} />
      <${Choice} label="View" value=${view} options=${[["cards", "Cards", "board"], ["table", "Table", "table"]]} choose=${(next) => setQuery({ view: next === "cards" ? "" : next })} />
    </header>
    ${!all.length
      ? html`<${Empty} command="python -m actors.main status">Agents appear here when they join: their state, what they do now and what they have earned.<//>`
      : view === "table" ? html`<${Table} list=${list} spent=${spent} />` : html`<ul class="cards">${list.map((agent) => html`<${AgentCard} key=${agent.agent} agent=${agent} spent=${spent[agent.agent]} />`)}</ul>`}
    ${all.length > 0 && html`<${Earnings} people=${list} />`}`;
}
