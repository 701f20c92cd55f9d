// One task: what was asked, what came of it, who bid what, where the money is, and its events in order.

import { Problem, read, readEvents, readText } from "../api.js";
import { duration, milliseconds, money, number, time } from "../format.js";
import { Ago, Choice, Countdown, Dialog, Facts, Money, useLoad, useMay } from "../details.js";
import { Chip, Copy, Empty, Icon, Panel, State, Trouble } from "../parts.js";
import { Prose } from "../prose.js";
import { address } from "../route.js";
import { plain, sentence } from "../sentences.js";
import { arrived, feed, live, now_ms, opened, serverNow, tasks, tell, titleOf } from "../store.js";
import { useSignals } from "../use.js";
import { percent } from "../times.js";
import { html, useRef, useState } from "../vendor/htm-preact-standalone.module.js";
import { Lease } from "./leases.js";
import { Bids, isOver } from "./tasks.js";

const TEXT_SHOWN_MAX = 100_000; // characters; more stalls the page and is a click away as a file

/** A text that an agent wrote: set as prose, or exactly as it was written. */
function Result({ artifact }) {
  const [isRaw, setRaw] = useState(false);
  const { value, error, isLoading, again } = useLoad(() => readText(artifact), [artifact]);
  const text = (value ?? "").slice(0, TEXT_SHOWN_MAX);
  const aside = html`${value !== undefined && html`<${Choice} label="How the text is shown" value=${isRaw ? "raw" : "prose"} options=${[["prose", "Text"], ["raw", "As written"]]} choose=${(way) => setRaw(way === "raw")} />
    <${Copy} text=${value} label="Copy text" />`}`;
  return html`<${Panel} title="Result" name="result" aside=${aside}>
    ${error && html`<${Trouble} error=${error} retry=${again} />`}
    ${!error && value === undefined && html`<p class="faint">${isLoading ? "Reading …" : ""}</p>`}
    ${value !== undefined && (isRaw ? html`<div class="text">${text}</div>` : html`<${Prose} text=${text} />`)}
    ${value?.length > TEXT_SHOWN_MAX && html`<p><a href=${`/api/artifacts/${encodeURIComponent(artifact)}/content`}>All ${number(value.length)} characters</a></p>`}
  <//>`;
}

/** The closed auction: bids best first, and why the first one won. */
function Ranking({ task }) {
  if (task.state === "bidding") {
    return html`<div class="auction"><${Countdown} opened_us=${task.auction_opened_us} closes_us=${task.auction_closes_us} /><${Bids} bids=${task.bids ?? 0} />
      <p class="faint">Bids are sealed until the auction closes.</p></div>`;
  }
  const ranking = task.ranking ?? [];
  if (!ranking.length) return html`<p class="faint">${task.state === "created" ? "Bids open once the money is held." : "Nobody bid."}</p>`;
  const most = Math.max(1, ...ranking.map((bid) => bid.price_msat));
  return html`
    <ol class="ranking">${ranking.map((bid, index) => html`
      <li key=${bid.agent} data-won=${index === 0 ? "" : undefined}>
        <a href=${address("agents", bid.agent)}>${bid.agent}</a>
        <span class="bar" aria-hidden="true"><i style=${{ width: `${(100 * bid.price_msat) / most}%` }}></i></span>
        <${Money} amount=${bid.price_msat} />${index === 0 && html`<span class="won">won</span>`}
      </li>`)}</ol>
    ${task.explanation && html`<p class="faint">${task.explanation}</p>`}`;
}

/** Where the reward is: held, paid, or back with the poster. */
function Reward({ task }) {
  const reward = task.reward_msat ?? task.spec?.reward_msat ?? 0;
  const paid = task.state === "completed" ? task.price_msat : 0;
  const held = isOver(task) || task.state === "created" ? 0 : reward;
  const share = (amount) => ({ width: `${reward ? (100 * amount) / reward : 0}%` });
  return html`
    <div class="reward">
      <span class="bar" aria-hidden="true"><i class="paid" style=${share(paid)}></i><i class="held" style=${share(held)}></i></span>
      <${Facts} facts=${[
        ["at most", html`<${Money} amount=${reward} />`],
        ["held", html`<${Money} amount=${held} />`],
        ["paid", html`<${Money} amount=${paid} />`],
        ["back with the poster", isOver(task) ? html`<span><${Money} amount=${reward - paid} /> <span class="faint">${percent(reward - paid, reward)}</span></span>` : undefined],
      ]} />
    </div>`;
}

/** Money moves by transfers whose ids name the task. */
const concerns = ({ task, data }, id) =>
  (task || data?.task) === id || [data?.transfer, data?.hold].some((name) => String(name ?? "").split("/")[1] === id);

/** The task's events, first to last, with the time since it was posted; attempts are set apart. */
function Timeline({ id, start_us }) {
  useSignals(arrived);
  const { value, error, again } = useLoad(async () => {
    const page = await read(`/api/tasks/${encodeURIComponent(id)}/events?limit=1000`);
    const events = page.events ?? page;
    const first = Math.min(...events.map((event) => event.position));
    const transfers = new URLSearchParams({ type: "transfer.*", after: String(first - 1), limit: "1000" });
    const moved = events.length ? await readEvents(transfers) : [];
    return [...events, ...moved.filter((event) => concerns(event, id))];
  }, [id]);
  const own = useRef(/** @type {{seen: number, events: Map<number, any>}} */ ({ seen: 0, events: new Map() }));
  for (const event of feed.after(own.current.seen)) {
    own.current.seen = event.position;
    if (concerns(event, id)) own.current.events.set(event.position, event);
  }
  for (const event of value ?? []) own.current.events.set(event.position, event);
  const events = [...own.current.events.values()].sort((a, b) => a.position - b.position);
  if (error && !events.length) return html`<${Trouble} error=${error} retry=${again} />`;
  return html`
    <ol class="timeline">${events.map((event) => {
      const ms = event.ms ?? milliseconds(event.time);
      return html`
        <li key=${event.position} data-attempt=${event.type === "task.bidding" && event.data.attempt > 1 ? `attempt ${event.data.attempt}` : undefined}>
          <button data-item onClick=${() => (opened.value = event)} title=${`${time(ms)}, position ${event.position}`}>
            <span class="offset">+${duration(Math.max(0, ms / 1000 - start_us / 1e6))}</span><${Chip} type=${event.type} />
            <span class="timeline-text">${plain(sentence(event, titleOf))}</span>
          </button>
        </li>`;
    })}</ol>`;
}

function Cancel({ task, close }) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState("");
  const send = async (event) => {
    event.preventDefault();
    try {
      await live.ask("task.cancel", { task: task.task, reason: reason.trim() });
      tell(`${task.task} is cancelled; its hold is released.`);
      close();
    } catch (refusal) {
      setError(refusal.message);
    }
  };
  return html`
    <${Dialog} title=${`Cancel “${task.title}”?`} close=${close} name="post">
      <form onSubmit=${send}>
        <p>The agent stops and the ${money(task.reward_msat)} that are held go back to the poster. This cannot be undone.</p>
        <label>Reason<input name="reason" type="text" value=${reason} onInput=${(event) => setReason(event.target.value)} autofocus autocomplete="off" /></label>
        ${error && html`<p class="trouble" role="alert">${error}</p>`}
        <footer><button type="button" onClick=${close}>Keep it</button><button class="danger">Cancel the task</button></footer>
      </form>
    <//>`;
}

/** A task as the socket knows it, filled up with what only the server keeps. */
function useTask(id) {
  const [items] = useSignals(tasks);
  const current = items[id];
  const { value, error, again } = useLoad(() => read(`/api/tasks/${encodeURIComponent(id)}`), [id, current?.state]);
  const spec = value?.spec ?? {};
  const known = value ? { ...spec, ...value, poster: spec.poster } : {};
  return { task: current || value ? { ...known, ...current } : undefined, error, again };
}

export function Task({ id }) {
  const { task, error, again } = useTask(id);
  useSignals(now_ms);
  const mayAct = useMay("task");
  const [isCancelling, setCancelling] = useState(false);
  const back = html`<a class="back" href="#/tasks"><${Icon} name="back" />Tasks</a>`;
  if (!task) {
    if (error instanceof Problem && error.status === 404) return html`${back}<header class="page-head"><h1>Task ${id}</h1></header><${Empty} command="python -m actors.main status">There is no task ${id}. This prints those that there are.<//>`;
    return html`${back}<header class="page-head"><h1>Task ${id}</h1></header>${error ? html`<${Trouble} error=${error} retry=${again} />` : html`<p class="faint">Reading …</p>`}`;
  }
  const end = isOver(task) ? task.updated_us / 1000 : serverNow();
  return html`
    ${back}
    <header class="page-head">
      <h1 class="task-title">${task.title}</h1>
      <${State} state=${task.state} />
      ${mayAct && !isOver(task) && html`<button class="danger-quiet" onClick=${() => setCancelling(true)}>Cancel the task</button>`}
    </header>
    <div class="columns">
      <div class="main-column">
        ${task.reason && task.state !== "completed" && html`<p class="callout" data-state=${task.state}><span class="faint">Reason:</span> ${task.reason}</p>`}
        ${task.artifact && html`<${Result} key=${task.artifact} artifact=${task.artifact} />`}
        ${task.instructions && html`<${Panel} title="Instructions"><div class="text">${task.instructions}</div><//>`}
        <${Panel} title="Timeline"><${Timeline} key=${id} id=${id} start_us=${task.created_us} /><//>
      </div>
      <div class="side-column">
        <${Panel} title="Money"><${Reward} task=${task} /><//>
        <${Panel} title="Auction" aside=${task.attempt > 1 ? `attempt ${task.attempt}` : ""}><${Ranking} task=${task} /><//>
        <${Panel} title="Facts"><${Facts} facts=${[
          ["id", html`<span class="id">${task.task}</span><${Copy} text=${task.task} label="Copy id" />`],
          ["agent", task.agent ? html`<a href=${address("agents", task.agent)}>${task.agent}</a>` : ""],
          ["lease", task.lease_s && ["assigned", "running"].includes(task.state) ? html`<${Lease} task=${task} />` : ""],
          ["needs", task.capability ?? ""],
          ["poster", task.poster ?? ""],
          ["reads", task.input ? html`<a class="id" href=${`/api/artifacts/${encodeURIComponent(task.input)}/content`}>${task.input}</a>` : ""],
          ["posted", html`<${Ago} us=${task.created_us} />`],
          [isOver(task) ? "took" : "so far", duration((end - task.created_us / 1000) / 1000)],
          ["attempt", task.attempt || ""], ["artifact", task.artifact && html`<span class="id">${task.artifact}</span><${Copy} text=${task.artifact} label="Copy id" />`],
          ["summary", task.summary ?? ""],
        ]} /><//>
      </div>
    </div>
    ${isCancelling && html`<${Cancel} task=${task} close=${() => setCancelling(false)} />`}`;
}
