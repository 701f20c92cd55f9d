// Router: the cascade of providers as lanes in their order: what each breaker does, how calls end, what they cost.

import { read, send } from "../api.js";
import { Chart } from "../charts.js";
import { dollars, duration, number } from "../format.js";
import { Choice, Dialog, Facts, useLoad, useMay } from "../details.js";
import { latencies, Readings, sums } from "../measures.js";
import { usePast } from "../past.js";
import { Empty, Panel, Trouble } from "../parts.js";
import { isStale, providers, spend, state, tell } from "../store.js";
import { useSignals } from "../use.js";
import { html, useEffect, useMemo, useState } from "../vendor/htm-preact-standalone.module.js";
import { Events } from "../eventlist.js";
import { Recent, Speaking, Trace } from "./trace.js";

const REFRESH_MS = 5_000; // latencies and calls in flight are gauges: they are read, not sent

const BREAKERS = [["closed", "closed", "calls go through"], ["half_open", "half open", "no more calls than its probes go through"], ["open", "open", "nothing is sent"]];

/** A switch with three positions, drawn as what it is: shown, not pressed. */
const Breaker = ({ provider }) => html`
  <span class="breaker" role="img" aria-label=${`Breaker ${provider.breaker.replace("_", " ")}`} data-breaker=${provider.breaker}>
    ${BREAKERS.map(([id, name, meaning]) => html`<span key=${id} title=${meaning} data-on=${id === provider.breaker ? "" : undefined}>${name}</span>`)}
  </span>`;

/** The breaker's window, oldest first: height and hue say how each call ended. */
const Outcomes = ({ outcomes = [] }) => html`
  <span class="outcomes" role="img" aria-label=${outcomes.length ? `Last ${outcomes.length} calls: ${outcomes.filter((each) => each === "ok").length} ok` : "No call yet"}>
    ${outcomes.map((each, index) => html`<i key=${index} data-outcome=${each === "ok" || each === "slow" ? each : "error"} title=${each}></i>`)}
    ${!outcomes.length && html`<span class="faint">no call yet</span>`}
  </span>`;

/** Taking a provider out of the cascade asks for a reason; putting it back does not. */
function Switch({ provider, again }) {
  const [isAsking, ask] = useState(false);
  const [reason, setReason] = useState("");
  const isOn = provider.is_enabled !== false;
  const set = async (enabled) => {
    try {
      await send("PATCH", `/api/router/providers/${encodeURIComponent(provider.name)}`, { enabled, reason: enabled ? "" : reason.trim() });
      tell(enabled ? `${provider.name} is in the cascade again.` : `${provider.name} is out of the cascade.`);
      ask(false);
    } catch (problem) {
      tell(`${provider.name} was not switched: ${problem.message}`, true);
    }
    again();
  };
  return html`
    <button class="switch" role="switch" aria-checked=${String(isOn)} aria-label=${`${provider.name} in the cascade`} onClick=${() => (isOn ? ask(true) : set(true))}><i aria-hidden="true"></i>${isOn ? "on" : "off"}</button>
    ${isAsking && html`
      <${Dialog} title=${`Take ${provider.name} out of the cascade?`} close=${() => ask(false)}>
        <form onSubmit=${(event) => { event.preventDefault(); set(false); }}>
          <p>Calls that it answers now end as they would; the next ones go to the provider after it.</p>
          <label>Reason<input name="reason" type="text" required value=${reason} onInput=${(event) => setReason(event.target.value)} autofocus autocomplete="off" /></label>
          <footer><button type="button" onClick=${() => ask(false)}>Keep it</button><button class="danger">Take it out</button></footer>
        </form>
      <//>`}`;
}

/** Closing a breaker by hand: whoever has mended the provider need not wait for it. */
function Reset({ provider, again }) {
  const reset = async () => {
    try {
      await send("POST", `/api/router/providers/${encodeURIComponent(provider.name)}/reset`, {});
      tell(`${provider.name}: the breaker is closed.`);
    } catch (problem) {
      tell(`${provider.name} was not reset: ${problem.message}`, true);
    }
    again();
  };
  return html`<button onClick=${reset}>Reset</button>`;
}

/** Under a mode that decides by itself the breaker stands as that makes it, whatever it last did. */
const forced = (provider) => (provider?.mode && provider.mode !== "enforced" ? { breaker: provider.breaker, reopens_in_s: 0 } : {});

/** What an open breaker waits for; one whose wait is over tries with the next call. */
const after = ({ breaker, mode, reopens_in_s = 0 }) =>
  breaker !== "open" || (mode ?? "enforced") !== "enforced" ? "" : reopens_in_s > 0 ? `; tried again in ${duration(reopens_in_s)}` : "; tried again with the next call";

const Lane = ({ provider, order, mayAct, again }) => html`
  <li class="lane" data-off=${provider.is_enabled === false ? "" : undefined}>
    <header><span class="order" aria-hidden="true">${order}</span><h2>${provider.name}</h2>
      <span class="faint">${[provider.dialect, provider.model].filter(Boolean).join(" · ")}</span>
      ${provider.mode && provider.mode !== "enforced" && html`<span class="badge" title="router.breaker.mode, or its own breaker_mode">breaker ${provider.mode.replace("_", " ")}</span>`}
      ${provider.throttled_for_s > 0 && html`<span class="badge" title="It said so, or its own limits do">throttled for ${duration(provider.throttled_for_s)}</span>`}
      ${provider.is_enabled === false && html`<span class="badge">off${provider.disabled_reason ? `: ${provider.disabled_reason}` : ""}</span>`}
      <span class="lane-hands"><${Breaker} provider=${provider} />${mayAct && provider.breaker !== "closed" && (provider.mode ?? "enforced") === "enforced" && html`<${Reset} provider=${provider} again=${again} />`}${mayAct && html`<${Switch} provider=${provider} again=${again} />`}</span></header>
    ${provider.reason && provider.breaker !== "closed" && provider.is_enabled !== false && html`<p class="fault">${provider.reason}${after(provider)}</p>`}
    ${provider.last_error && !(provider.disabled_reason && provider.last_error.endsWith(provider.disabled_reason)) && html`<p class="faint">last error: ${provider.last_error}</p>`}
    <div class="lane-body"><${Outcomes} outcomes=${provider.outcomes} />
    <dl class="quads">
      <div><dt>answered</dt><dd>${number(provider.completed ?? 0)}</dd></div>
      <div><dt>failed</dt><dd>${number(provider.failed ?? 0)}</dd></div>
      <div><dt>in flight</dt><dd>${number(provider.in_flight ?? 0)}</dd></div>
      <div><dt>queued</dt><dd title="Calls that wait for a place at it">${number(provider.queued ?? 0)}</dd></div>
      <div><dt>p50</dt><dd>${provider.latency_p50_s > 0 ? duration(provider.latency_p50_s) : "–"}</dd></div>
      ${provider.latency_p90_s !== undefined && html`<div><dt>p90</dt><dd>${provider.latency_p90_s > 0 ? duration(provider.latency_p90_s) : "–"}</dd></div>`}
      <div><dt>p99</dt><dd>${provider.latency_p99_s > 0 ? duration(provider.latency_p99_s) : "–"}</dd></div>
      <div><dt>spent</dt><dd>${dollars(provider.spent_usd_micros ?? 0)}</dd></div>
    </dl></div>
  </li>`;

const limit = (micros) => (micros ? dollars(micros) : "without a limit");

/** Calls in flight and in the queue, as they were read while the page is open. */
const load = new Readings(720); // an hour of them

const LOAD = [{ label: "in flight", hue: "models", isFilled: true, isStepped: true }, { label: "queued", hue: "system", dash: [6, 3], isStepped: true }];
const LATENCY = [{ label: "p50", hue: "models", isStepped: true }, { label: "p90", hue: "models", dash: [6, 3], isStepped: true }, { label: "p99", hue: "models", dash: [2, 3], isStepped: true }];
const SPENT = [{ label: "spent", hue: "money", isFilled: true, isStepped: true }];
const WHICH = /** @type {Record<string, any>} */ ({
  latency: { series: LATENCY, format: duration, isLog: true, isNamed: true },
  spend: { series: SPENT, format: dollars },
  load: { series: LOAD, format: number, isWhole: true },
});
const CHARTS = /** @type {[string, string][]} */ ([["latency", "Time to answer"], ["spend", "Spend"], ["load", "Load"]]);

/** One chart at a time: what people ask of the cascade is how quick, how dear and how full it is. */
function Charts({ events, names, rows }) {
  const [which, setWhich] = useState("latency");
  const [chosen, setChosen] = useState("");
  const provider = chosen || names.find((name) => events.some(({ data }) => data.provider === name)) || names[0] || "";
  const data = useMemo(() => {
    if (which === "latency") return latencies(events, provider);
    if (which === "spend") return sums(events, ["all"], () => "all", ({ data: { cost_usd_micros } }) => cost_usd_micros);
    return load.columns(3);
  }, [which, provider, events, rows]);
  const empty = { latency: `The line begins with the second answer of ${provider}.`, spend: "The line begins with the second answer.", load: "The first readings come within seconds." };
  return html`
    <${Panel} title="Over time" name="charts" aside=${html`
      ${which === "latency" && names.length > 1 && html`<select aria-label="Provider" value=${provider} onChange=${(event) => setChosen(event.target.value)}>${names.map((name) => html`<option value=${name}>${name}</option>`)}</select>`}
      <${Choice} label="Chart" value=${which} options=${CHARTS} choose=${setWhich} />`}>
      <${Chart} key=${which} label=${CHARTS.find(([id]) => id === which)?.[1]} data=${data} empty=${empty[which]} ...${WHICH[which]} />
    <//>`;
}

export const Router = ({ id = "" }) => (id ? html`<${Trace} id=${id} />` : html`<${Cascade} />`);

function Cascade() {
  const mayAct = useMay("admin");
  const { events } = usePast("completion.completed");
  const [items, money, whole] = useSignals(providers, spend, state);
  const { value, error, again } = useLoad(() => read("/api/router"), [whole?.router?.position]);
  const tokens = useMemo(() => [{ key: "type", value: "breaker.*" }], []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || isStale.peek() || again(), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const order = value?.providers?.map((each) => each.name) ?? Object.keys(items);
  const known = Object.fromEntries((value?.providers ?? []).map((each) => [each.name, each]));
  const lanes = order.map((name) => ({ name, breaker: "closed", ...known[name], ...items[name], ...forced(known[name]) }));
  useEffect(() => {
    if (value?.providers) load.add(Date.now() / 1000, value.providers.reduce((sum, each) => sum + each.in_flight, 0), value.queued);
  }, [value]);
  return html`
    <header class="page-head"><h1>Router</h1><p class="faint">Each call goes to the first provider that is closed and able, and falls to the next.</p></header>
    ${error && !lanes.length && html`<${Trouble} error=${error} retry=${again} />`}
    ${!error && value && !lanes.length && html`<${Empty} command="python -m actors.main config">The providers that answer appear here in the order in which they are tried.<//>`}
    ${lanes.length > 0 && lanes.every((each) => each.dialect === "extractive") && html`
      <p class="callout" data-state="running">No model was found, so the <b>extractive</b> provider answers: briefs quote the documents’ own sentences. Start Ollama,
        set <code>OPENAI_API_KEY</code> or <code>ANTHROPIC_API_KEY</code>, or add <code>[[router.providers]]</code> to the config, then start again.</p>`}
    <div class="columns">
      <div class="main-column">
        <ol class="lanes">${lanes.map((provider, index) => html`<${Lane} key=${provider.name} provider=${provider} order=${index + 1} mayAct=${mayAct} again=${again} />`)}</ol>
        ${lanes.length > 0 && html`<${Charts} events=${events} names=${order} rows=${load.rows} />`}
        <${Recent} when=${events.length} />
      </div>
      <div class="side-column">
        ${money && html`<${Panel} title="Spend"><${Facts} facts=${[
          ["this run", dollars(money.run_usd_micros)], ["today", dollars(money.today_usd_micros)],
          ["reserved", value ? dollars(value.reserved_usd_micros) : undefined],
          ["budget of the run", limit(value?.budget_run_usd_micros ?? money.budget_run_usd_micros)],
          ["budget of the day", limit(value?.budget_day_usd_micros ?? money.budget_day_usd_micros)],
          ["queued calls", value ? number(value.queued) : undefined],
        ]} />${value?.is_budget_exhausted && html`<p class="fault pad">A budget is spent: what may cost more is refused.</p>`}<//>`}
        <${Speaking} />
        <${Panel} title="Breakers" name="own-feed small"><${Events} tokens=${tokens} label="Breaker events, newest first" empty=${html`<p class="faint pad">No breaker has opened.</p>`} /><//>
      </div>
    </div>`;
}
