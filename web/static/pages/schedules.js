// Schedules: tasks that are posted later, or again and again; each can be cancelled.

import { read, send } from "../api.js";
import { Dialog, Money, useLoad, useMay } from "../details.js";
import { duration, number } from "../format.js";
import { Empty, State, Trouble } from "../parts.js";
import { now_ms, tell } from "../store.js";
import { moment } from "../times.js";
import { useSignals } from "../use.js";
import { html, useState } from "../vendor/htm-preact-standalone.module.js";
import { useHeard } from "./invoices.js";

/** When it posts, as it was said. */
function when({ spec }) {
  if (spec.cron) return `${spec.cron} in ${spec.zone}`;
  return spec.delay_s ? `${duration(spec.delay_s)} after it was made` : moment(spec.at_us / 1000);
}

const MISSED = { run_once: "one task for all missed times", skip: "missed times are skipped", run_all: "a task for each missed time" };

function Next({ schedule }) {
  const [now] = useSignals(now_ms);
  if (schedule.is_cancelled) return html`<${State} state="cancelled" />`;
  if (!schedule.next_us) return html`<span class="faint">never again</span>`;
  const left = schedule.next_us / 1e6 - now / 1000;
  return html`<time title=${moment(schedule.next_us / 1000)}>${left > 0 ? `in ${duration(left)}` : "now"}</time>`;
}

export function Schedules() {
  const heard = useHeard("schedule.");
  const mayAct = useMay("task");
  const [ending, setEnding] = useState(/** @type {any} */ (null));
  const { value: page, error, again } = useLoad(() => read("/api/schedules"), [heard]);
  const cancel = async () => {
    try {
      await send("POST", `/api/schedules/${encodeURIComponent(ending.schedule)}/cancel`, {});
      tell(`${ending.schedule} posts no more tasks.`);
    } catch (problem) {
      tell(`It was not cancelled: ${problem.message}`, true);
    }
    setEnding(null);
    again();
  };
  if (error && !page) return html`<${Trouble} error=${error} retry=${again} />`;
  if (!page) return html`<p class="faint">Reading …</p>`;
  if (!page.schedules.length) {
    return html`<${Empty} command='python -m actors.main schedule create "Read the news" --cron "0 9 * * *"'>Schedules post tasks at a time, after a delay, or again and again. There is none yet.<//>`;
  }
  return html`
    <div class="scroll schedules" tabindex="0" role="region" aria-label="Schedules"><table>
      <thead><tr><th>Schedule</th><th>Posts</th><th>When</th><th>Next</th><th class="figure">Posted</th><th class="figure">Pays at most</th><th></th></tr></thead>
      <tbody>${page.schedules.map((each) => html`
        <tr key=${each.schedule}>
          <td class="id">${each.schedule}</td><td class="wide">${each.spec.task.title}</td>
          <td title=${MISSED[each.spec.missed]}>${when(each)}</td><td><${Next} schedule=${each} /></td>
          <td class="figure">${number(each.posted)}</td><td class="figure"><${Money} amount=${each.spec.task.reward_msat} /></td>
          <td>${mayAct && each.next_us > 0 && !each.is_cancelled && html`<button class="quiet danger-quiet" onClick=${() => setEnding(each)}>Cancel</button>`}</td>
        </tr>`)}</tbody>
    </table></div>
    ${ending && html`<${Dialog} title=${`Cancel ${ending.schedule}?`} close=${() => setEnding(null)}>
      <p>No more tasks “${ending.spec.task.title}” are posted. Those that are posted stay.</p>
      <footer><button onClick=${() => setEnding(null)}>Keep it</button><button class="danger" onClick=${cancel}>Cancel the schedule</button></footer>
    <//>`}`;
}
