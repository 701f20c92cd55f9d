// Trace: one completion in full, its attempts on one line of time; and what models are saying at this moment.

import { Problem, read } from "../api.js";
import { Ago, Facts, useLoad } from "../details.js";
import { dollars, duration, number } from "../format.js";
import { Empty, Icon, Panel, Trouble } from "../parts.js";
import { address } from "../route.js";
import { html, useEffect, useState } from "../vendor/htm-preact-standalone.module.js";

const LISTED = 20;
const LOOKS_MAX = 4; // the log is written beside the journal, a moment after the last word
const LOOK_MS = 500;

/** What models are saying at this moment, by completion; the newest state replaces the one before. */
function useSaid() {
  const [said, set] = useState(/** @type {Record<string, any>} */ ({}));
  useEffect(() => {
    const source = new EventSource("/api/completions/live");
    source.onmessage = ({ data }) => set((before) => {
      const after = { ...before };
      for (const words of JSON.parse(data)) words.is_over ? delete after[words.completion] : (after[words.completion] = words);
      return after;
    });
    source.onerror = () => set({}); // the browser connects again by itself; what was said meanwhile is over or comes anew
    return () => source.close();
  }, []);
  return said;
}

export function Speaking() {
  const speaking = Object.values(useSaid());
  return html`
    <${Panel} title="Being said" name="speaking">
      ${!speaking.length && html`<p class="faint">No model is speaking.</p>`}
      ${speaking.map((words) => html`
        <article key=${words.completion} class="words" aria-live="off">
          <header><a href=${address("router", words.completion)}><b>${words.agent || "someone"}</b> <span class="faint">${words.completion}</span></a>
            <span class="faint" title=${words.provider ? `By ${words.provider}` : ""}>${words.provider ? `${number(words.characters)} characters` : "waiting"}</span></header>
          <p>${words.tail}</p>
        </article>`)}
    <//>`;
}

/** The newest completions, each a way to its trace. */
export function Recent({ when }) {
  const { value, error, again } = useLoad(() => read(`/api/completions?limit=${LISTED}`), [when]);
  const rows = value?.transcripts ?? [];
  return html`
    <${Panel} title="Completions" name="recent">
      ${error && html`<${Trouble} error=${error} retry=${again} />`}
      ${value?.kept === "off" && html`<p class="faint">The completion log is off (<code>router.log</code>).</p>`}
      ${value && value.kept !== "off" && !rows.length && html`<p class="faint">Nothing was asked of a model yet.</p>`}
      ${rows.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Completions"><table>
        <thead><tr><th>Completion</th><th>Asked by</th><th>Answered by</th><th class="figure">Attempts</th><th class="figure">Took</th><th>Asked</th></tr></thead>
        <tbody>${rows.map((row) => html`
          <tr key=${row.completion}><td class="id"><a data-item href=${address("router", row.completion)}>${row.completion}</a></td><td>${row.agent}</td>
            <td>${row.ending === "answered" ? row.provider : html`<span class="fault">${row.ending}</span>`}</td>
            <td class="figure">${number(row.attempts)}</td><td class="figure">${duration(row.elapsed_s)}</td><td>${row.asked_us ? html`<${Ago} us=${row.asked_us} />` : "–"}</td></tr>`)}</tbody>
      </table></div>`}
    <//>`;
}

const percent = (value, whole) => `${(100 * Math.max(0, Math.min(1, whole > 0 ? value / whole : 0))).toFixed(2)}%`;

/** One attempt: a bar from its start to its end; up to the first words it is pale. */
const Bar = ({ attempt, whole }) => {
  const { began_s, ended_s, first_s, outcome } = attempt;
  const isOk = outcome === "ok";
  return html`
    <span class="span" role="img" aria-label=${`from ${duration(began_s)} to ${duration(ended_s)}, ${outcome}`}>
      <i data-outcome=${isOk ? "ok" : "error"} style=${{ left: `min(${percent(began_s, whole)}, 100% - 3px)`, width: percent(ended_s - began_s, whole) }}></i>
      ${first_s !== null && first_s !== undefined && html`<u style=${{ left: `min(${percent(first_s, whole)}, 100% - 2px)` }} title=${`first words after ${duration(first_s - began_s)}`}></u>`}
    </span>`;
};

const Waterfall = ({ attempts, whole }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label="Attempts as a table"><table class="waterfall">
    <thead><tr><th>Provider</th><th>When</th><th>Outcome</th><th class="figure">First words</th><th class="figure">Took</th><th class="figure">Tokens</th><th class="figure">Cost</th></tr></thead>
    <tbody>${attempts.map((attempt) => html`
      <tr key=${attempt.number}>
        <td>${attempt.provider}${attempt.is_hedge && html` <span class="badge">hedge</span>`}<br /><span class="faint">${attempt.model}</span></td>
        <td><${Bar} attempt=${attempt} whole=${whole} /></td>
        <td class=${attempt.outcome === "ok" ? "" : "fault wide"}>${attempt.outcome}${attempt.reason && html`<br /><span class="faint">${attempt.reason}</span>`}</td>
        <td class="figure">${attempt.first_s === null || attempt.first_s === undefined ? "–" : duration(attempt.first_s - attempt.began_s)}</td>
        <td class="figure">${duration(attempt.ended_s - attempt.began_s)}</td>
        <td class="figure">${attempt.tokens_in || attempt.tokens_out ? `${number(attempt.tokens_in)} + ${number(attempt.tokens_out)}` : "–"}</td>
        <td class="figure">${dollars(attempt.cost_usd_micros)}</td>
      </tr>`)}</tbody>
  </table></div>`;

const Words = ({ title, text }) => html`<section class="said"><h3>${title}</h3><pre tabindex="0">${text}</pre></section>`;

export function Trace({ id }) {
  const words = useSaid()[id];
  const { value, error, again } = useLoad(() => read(`/api/completions/${encodeURIComponent(id)}`), [id, Boolean(words)]); // again when it has been said
  const [looks, look] = useState(0);
  const isAwaited = error instanceof Problem && error.status === 404 && looks < LOOKS_MAX;
  useEffect(() => {
    if (!isAwaited) return undefined;
    const timer = setTimeout(() => {
      look(looks + 1);
      again();
    }, LOOK_MS);
    return () => clearTimeout(timer);
  }, [error]);
  const head = html`<a class="back" href=${address("router")}><${Icon} name="back" />Router</a>
    <header class="page-head"><h1>Completion ${id}</h1>${words && html`<span class="faint" role="status">${words.provider || "a provider"} is answering ${words.agent || "someone"}</span>`}</header>`;
  if (words && !value) {
    return html`${head}<${Panel} title="Being said" name="answered speaking" aside=${`${number(words.characters)} characters`}>
      <pre class="stream" aria-live="off">${words.tail}</pre><p class="faint">Its attempts stand here when it has ended.</p><//>`;
  }
  if (error && !isAwaited) return html`${head}<${Trouble} error=${error} retry=${again} />`;
  if (!value) return html`${head}<${Empty}>${error ? "It is not in the log yet; it is looked for again." : "It is being read."}<//>`;
  const answer = value.attempts.find((attempt) => attempt.answer)?.answer;
  const calls = answer?.tool_calls ?? [];
  return html`
    ${head}
    <div class="columns">
      <div class="main-column trace">
      <${Panel} title="Attempts" name="attempts"><${Waterfall} attempts=${value.attempts} whole=${value.elapsed_s} />
        ${value.reason && value.ending !== "answered" && html`<p class="fault pad">${value.reason}</p>`}<//>
      ${value.withheld && html`<p class="callout" data-state="waiting">The words are not kept: ${value.withheld}.</p>`}
      ${value.request && html`<${Panel} title="Asked" name="question">${value.request.messages.map((message, index) => html`<${Words} key=${index} title=${message.role} text=${message.content} />`)}<//>`}
      ${answer && html`<${Panel} title="Answered" name="answered"><${Words} title=${value.provider} text=${answer.text} />
        ${calls.map((call, index) => html`<${Words} key=${index} title=${`calls ${call.name}`} text=${JSON.stringify(call, null, 2)} />`)}<//>`}
      </div>
      <div class="side-column"><${Panel} title="Facts"><${Facts} facts=${[
        ["ended", value.ending], ["asked by", value.agent], ["task", value.task && html`<a href=${address("tasks", value.task)}>${value.task}</a>`],
        ["asked", html`<${Ago} us=${value.asked_us} />`], ["took", duration(value.elapsed_s)],
        ["waited for its turn", value.attempts[0]?.began_s > 0.05 ? duration(value.attempts[0].began_s) : undefined],
        ["answered by", value.provider && `${value.provider} (${value.model})`],
        ["tokens", value.tokens_in ? `${number(value.tokens_in)} read, ${number(value.tokens_out)} written` : undefined],
        ["cost", dollars(value.cost_usd_micros)], ["run", value.run],
      ]} /><//></div>
    </div>`;
}
