// Router: the cascade of providers as lanes in their order: what each breaker does, how calls end, what they cost.

import { read } from "../api.js";
import { dollars, duration, number } from "../format.js";
import { Facts, useLoad } from "../details.js";
import { Empty, Panel, Trouble } from "../parts.js";
import { providers, spend, state } from "../store.js";
import { useSignals } from "../use.js";
import { html, useEffect, useMemo } from "../vendor/htm-preact-standalone.module.js";
import { Events } from "../eventlist.js";

const REFRESH_MS = 5_000; // latencies and calls in flight are gauges: they are read, not sent

const BREAKERS = [["closed", "closed", "calls go through"], ["half_open", "half open", "one probe goes through"], ["open", "open", "nothing is sent"]];

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

const Lane = ({ provider, order }) => html`
  <li class="lane" data-off=${provider.is_enabled === false ? "" : undefined}>
    <header><span class="order" aria-hidden="true">${order}</span><h2>${provider.name}</h2>
      <span class="faint">${[provider.dialect, provider.model].filter(Boolean).join(" · ")}</span>
      ${provider.is_enabled === false && html`<span class="badge">off${provider.disabled_reason ? `: ${provider.disabled_reason}` : ""}</span>`}
      <${Breaker} provider=${provider} /></header>
    ${(provider.reason || provider.last_error) && provider.breaker !== "closed" && html`<p class="fault">${provider.reason || provider.last_error}</p>`}
    <div class="lane-body"><${Outcomes} outcomes=${provider.outcomes} />
    <dl class="quads">
      <div><dt>answered</dt><dd>${number(provider.completed ?? 0)}</dd></div>
      <div><dt>failed</dt><dd>${number(provider.failed ?? 0)}</dd></div>
      <div><dt>in flight</dt><dd>${number(provider.in_flight ?? 0)}</dd></div>
      <div><dt>p50</dt><dd>${provider.latency_p50_s > 0 ? duration(provider.latency_p50_s) : "–"}</dd></div>
      <div><dt>p99</dt><dd>${provider.latency_p99_s > 0 ? duration(provider.latency_p99_s) : "–"}</dd></div>
      <div><dt>spent</dt><dd>${dollars(provider.spent_usd_micros ?? 0)}</dd></div>
    </dl></div>
  </li>`;

export function Router() {
  const [items, money, whole] = useSignals(providers, spend, state);
  const { value, error, again } = useLoad(() => read("/api/router"), [whole?.router?.position]);
  const tokens = useMemo(() => [{ key: "type", value: "breaker.*" }], []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || again(), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  const order = value?.providers?.map((each) => each.name) ?? Object.keys(items);
  const known = Object.fromEntries((value?.providers ?? []).map((each) => [each.name, each]));
  const lanes = order.map((name) => ({ name, breaker: "closed", ...known[name], ...items[name] }));
  return html`
    <header class="page-head"><h1>Router</h1><p class="faint">Each call goes to the first provider that is closed and able, and falls to the next.</p></header>
    ${error && !lanes.length && html`<${Trouble} error=${error} retry=${again} />`}
    ${!error && !lanes.length && html`<${Empty}>The providers that answer appear here in the order in which they are tried.<//>`}
    ${lanes.length > 0 && lanes.every((each) => each.dialect === "extractive") && html`
      <p class="callout" data-state="running">No model was found, so the <b>extractive</b> provider answers: briefs quote the documents’ own sentences. Start Ollama,
        set <code>OPENAI_API_KEY</code> or <code>ANTHROPIC_API_KEY</code>, or add <code>[[router.providers]]</code> to the config, then start again.</p>`}
    <div class="columns">
      <ol class="lanes main-column">${lanes.map((provider, index) => html`<${Lane} key=${provider.name} provider=${provider} order=${index + 1} />`)}</ol>
      <div class="side-column">
        ${money && html`<${Panel} title="Spend"><${Facts} facts=${[
          ["this run", dollars(money.run_usd_micros)], ["today", dollars(money.today_usd_micros)],
          ["reserved", value ? dollars(value.reserved_usd_micros) : undefined],
          ["budget of the run", money.budget_run_usd_micros ? dollars(money.budget_run_usd_micros) : "without a limit"],
          ["queued calls", value ? number(value.queued) : undefined],
        ]} /><//>`}
        <${Panel} title="Breakers" name="own-feed small"><${Events} tokens=${tokens} label="Breaker events, newest first" empty=${html`<p class="faint pad">No breaker has opened.</p>`} /><//>
      </div>
    </div>`;
}
