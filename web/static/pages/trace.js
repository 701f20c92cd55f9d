// Trace: one completion in full, its attempts on one line of time; and what models are saying at this moment.

import { read } from "../api.js";
import { Ago, Facts, useLoad } from "../details.js";
import { dollars, duration, number } from "../format.js";
import { Empty, Panel, Trouble } from "../parts.js";
import { address } from "../route.js";
import { html, useEffect, useState } from "../vendor/htm-preact-standalone.module.js";

const LISTED = 20;

/** What is being said, by completion; the newest state replaces the one before. */
export function Speaking() {
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
  const speaking = Object.values(said);
  return html`
    <${Panel} title="Being said" name="speaking">
      ${!speaking.length && html`<p class="faint">No model is speaking.</p>`}
      ${speaking.map((words) => html`
        <article key=${words.completion} class="words" aria-live="off">
          <header><b>${words.agent || "someone"}</b><span class="faint">${words.completion} · ${words.provider || "waiting"} · ${number(words.characters)} characters</span></header>
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
      <ul class="plain">${rows.map((row) => html`
        <li key=${row.completion}><a href=${address("router", row.completion)}><b>${row.completion}</b> ${row.agent}${" "}
          <span class="faint">${row.ending === "answered" ? row.provider : row.ending} · ${duration(row.elapsed_s)}${row.attempts > 1 ? ` · ${row.attempts} attempts` : ""}</span></a></li>`)}</ul>
    <//>`;
}

const percent = (value, whole) => `${(100 * Math.max(0, Math.min(1, whole > 0 ? value / whole : 0))).toFixed(2)}%`;

/** One attempt: a bar from its start to its end; up to the first words it is pale. */
const Bar = ({ attempt, whole }) => {
  const { began_s, ended_s, first_s, outcome } = attempt;
  const isOk = outcome === "ok";
  return html`
    <span class="span" role="img" aria-label=${`from ${duration(began_s)} to ${duration(ended_s)}, ${outcome}`}>
      <i data-outcome=${isOk ? "ok" : "error"} style=${{ left: percent(began_s, whole), width: percent(ended_s - began_s, whole) }}></i>
      ${first_s !== null && first_s !== undefined && html`<u style=${{ left: percent(first_s, whole) }} title=${`first words after ${duration(first_s - began_s)}`}></u>`}
    </span>`;
};

const Waterfall = ({ attempts, whole }) => html`
  <div class="table-frame"><table class="waterfall">
    <thead><tr><th>provider</th><th>when</th><th class="figure">first words</th><th class="figure">took</th><th>outcome</th><th class="figure">tokens</th><th class="figure">cost</th></tr></thead>
    <tbody>${attempts.map((attempt) => html`
      <tr key=${attempt.number}>
        <td>${attempt.provider}${attempt.is_hedge && html` <span class="badge">hedge</span>`}<br /><span class="faint">${attempt.model}</span></td>
        <td><${Bar} attempt=${attempt} whole=${whole} /></td>
        <td class="figure">${attempt.first_s === null || attempt.first_s === undefined ? "–" : duration(attempt.first_s - attempt.began_s)}</td>
        <td class="figure">${duration(attempt.ended_s - attempt.began_s)}</td>
        <td class=${attempt.outcome === "ok" ? "" : "fault"}>${attempt.outcome}${attempt.reason && html`<br /><span class="faint">${attempt.reason}</span>`}</td>
        <td class="figure">${attempt.tokens_in || attempt.tokens_out ? `${number(attempt.tokens_in)} + ${number(attempt.tokens_out)}` : "–"}</td>
        <td class="figure">${dollars(attempt.cost_usd_micros)}</td>
      </tr>`)}</tbody>
  </table></div>`;

const Words = ({ title, text }) => html`<section class="said"><h3>${title}</h3><pre>${text}</pre></section>`;

export function Trace({ id }) {
  const { value, error, again } = useLoad(() => read(`/api/completions/${encodeURIComponent(id)}`), [id]);
  const head = html`<header class="page-head"><h1>Completion ${id}</h1><p class="faint"><a href=${address("router")}>All providers</a></p></header>`;
  if (error) return html`${head}<${Trouble} error=${error} retry=${again} />`;
  if (!value) return html`${head}<${Empty}>It is being read.<//>`;
  const answer = value.attempts.find((attempt) => attempt.answer)?.answer;
  const calls = answer?.tool_calls ?? [];
  return html`
    ${head}
    <div class="trace">
      <${Panel} title="Attempts" name="attempts"><${Waterfall} attempts=${value.attempts} whole=${value.elapsed_s} />
        ${value.reason && value.ending !== "answered" && html`<p class="fault pad">${value.reason}</p>`}<//>
      <${Panel} title="Facts"><${Facts} facts=${[
        ["ended", value.ending], ["asked by", value.agent], ["task", value.task && html`<a href=${address("tasks", value.task)}>${value.task}</a>`],
        ["asked", html`<${Ago} us=${value.asked_us} />`], ["took", duration(value.elapsed_s)],
        ["answered by", value.provider && `${value.provider} (${value.model})`],
        ["tokens", value.tokens_in ? `${number(value.tokens_in)} read, ${number(value.tokens_out)} written` : undefined],
        ["cost", dollars(value.cost_usd_micros)], ["run", value.run],
      ]} /><//>
      ${value.withheld && html`<p class="callout" data-state="waiting">The words are not kept: ${value.withheld}.</p>`}
      ${value.request && html`<${Panel} title="Asked" name="asked">${value.request.messages.map((message, index) => html`<${Words} key=${index} title=${message.role} text=${message.content} />`)}<//>`}
      ${answer && html`<${Panel} title="Answered" name="answered"><${Words} title=${value.provider} text=${answer.text} />
        ${calls.map((call, index) => html`<${Words} key=${index} title=${`calls ${call.name}`} text=${JSON.stringify(call, null, 2)} />`)}<//>`}
    </div>`;
}
