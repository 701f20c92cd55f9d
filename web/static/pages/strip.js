// Agents, tasks and money at a glance, beside the feed.

import { money, number } from "../format.js";
import { Panel, State } from "../parts.js";
import { address } from "../route.js";
import { agents, balances, counts, providers, state, titleOf } from "../store.js";
import { useSignals } from "../use.js";
import { html } from "../vendor/htm-preact-standalone.module.js";

/** Agents and tasks at a glance. */
export function Strip() {
  const [whole, people, tally, accounts, cascade] = useSignals(state, agents, counts, balances, providers);
  if (!whole) return null;
  const list = Object.values(people);
  const treasury = accounts["treasury/msat"];
  const names = Object.keys(cascade);
  const isModelless = names.length > 0 && names.every((name) => name === "extractive");
  return html`
      <${Panel} title="Agents" aside=${number(list.length)}>
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
      ${isModelless && html`
        <${Panel} title="Model">
          <p class="hint"><b>extractive</b> answers: no model was found, so briefs quote the documents’ own sentences. <a href="#/router">How to add one</a></p>
        <//>`}`;
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
