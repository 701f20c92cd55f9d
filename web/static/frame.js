// What stays on the screen whatever the page: the rail, and the bar that says how things are.

import { dollars, number } from "./format.js";
import { overlay } from "./keys.js";
import { Icon, Sparkline } from "./parts.js";
import { Pending } from "./pending.js";
import { address, PAGES } from "./route.js";
import { behind, connection, isPast, lag_ms, now_ms, rates, spend, state } from "./store.js";
import { lazy, shown, useSignals } from "./use.js";
import { html, useState } from "./vendor/htm-preact-standalone.module.js";

const Watch = lazy(() => import("./watch.js"), "Watch", shown);

export const Rail = ({ page }) => html`
  <nav class="rail" aria-label="Pages">
    <a class="mark" href="#/activity" aria-label="Agora, activity" tabindex="-1"><img src="/static/icon.svg" alt="" width="20" height="20" /><span>Agora</span></a>
    ${PAGES.map(({ id, name, key }) => html`
      <a key=${id} href=${address(id)} aria-current=${id === page ? "page" : undefined} title=${`${name} (g ${key})`}>
        <${Icon} name=${id} /><span>${name}</span>${id === "approvals" && html`<${Pending} />`}
      </a>`)}
  </nav>`;

/** Whether what is on the screen is true now, and how late it is. */
function Live() {
  const [{ phase, reason, retry_at }, lag, missing, past] = useSignals(connection, lag_ms, behind, isPast, now_ms);
  const words = { connecting: "connecting", lost: "reconnecting" };
  const lateness = missing ? `${number(missing)} behind` : lag === null ? "" : lag < 1 ? "<1 ms" : `${Math.round(lag)} ms`;
  const wait = phase === "lost" ? Math.max(0, Math.ceil((retry_at - Date.now()) / 1000)) : 0;
  const title = phase === "lost"
    ? `Connection lost${reason ? `: ${reason}` : ""}. What you see is the last that was known; next try in ${wait} s.`
    : past ? "What a society has left; nothing runs" : "Round trip to the server";
  return html`
    <span class="live" data-phase=${phase === "live" && past ? "past" : phase} title=${title}>
      <i aria-hidden="true"></i><span role="status">${words[phase] ?? (past ? "past" : "live")}</span>${phase === "live" && !past && lateness && html`<span class="lag">${lateness}</span>`}
    </span>`;
}

function Rate() {
  const [values] = useSignals(rates);
  const last = values.slice(-5);
  const mean = last.length ? last.reduce((sum, value) => sum + value, 0) / last.length : 0;
  return html`
    <span class="rate" title="Events per second over the last minute; the figure is the mean of five seconds">
      <${Sparkline} values=${values} width="72" height="18" /><span><b>${number(mean < 10 ? Math.round(mean * 10) / 10 : Math.round(mean))}</b> events/s</span>
    </span>`;
}

/** Today's money against the day's budget, or the run's where a day has none: the part that is spent is drawn. */
function Spend() {
  const [money] = useSignals(spend);
  if (!money) return null;
  const { run_usd_micros: run, today_usd_micros: today, budget_run_usd_micros: limit, budget_day_usd_micros: daily } = money;
  const [spent, budget, span] = daily || !limit ? [today, daily, "today"] : [run, limit, "this run"];
  const share = budget ? Math.min(1, spent / budget) : 0;
  return html`
    <span class="spend" title=${`Spent today: ${dollars(today)}${daily ? ` of ${dollars(daily)}` : ""}. This run: ${dollars(run)}${limit ? ` of ${dollars(limit)}` : ""}.`}>
      ${budget > 0 && html`<span class="meter" data-high=${share >= 0.8 ? "" : undefined} aria-hidden="true"><i style=${{ width: `${share * 100}%` }}></i></span>`}
      <span><b>${dollars(spent)}</b><span class="of">${budget ? ` of ${dollars(budget)}` : ""} ${span}</span></span>
    </span>`;
}

const scheme = () => document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");

export function toggleTheme() {
  const next = scheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("agora.theme", next);
  } catch {
    // storage is blocked: the choice lasts as long as the page
  }
}

function Theme() {
  const [, redraw] = useState(0);
  const next = scheme() === "dark" ? "light" : "dark";
  return html`<button class="quiet" aria-label=${`Switch to the ${next} scheme`} title=${`Switch to ${next}`}
    onClick=${() => { toggleTheme(); redraw((count) => count + 1); }}><${Icon} name=${next === "light" ? "sun" : "moon"} /></button>`;
}

export function TopBar() {
  const [whole] = useSignals(state);
  return html`
    <header class="topbar">
      <span class="served" title="The run that is served">${whole ? html`<span class="faint">run</span> <b>${whole.run}</b>${whole.status && !["running", "halted", "past"].includes(whole.status) ? html` <span class="badge">${whole.status.replace("_", " ")}</span>` : ""}` : "Agora"}</span>
      <${Live} />
      <${Rate} />
      <${Spend} />
      <span class="hands">
        <${Watch} />
        <button class="quiet find" title="Find and do (Ctrl-K)" aria-label="Find and do, Ctrl K" onClick=${() => (overlay.value = "palette")}><${Icon} name="search" /><kbd>Ctrl K</kbd></button>
        <${Theme} />
        <button class="quiet" title="Keys and help (?)" aria-label="Keys and help" onClick=${() => (overlay.value = "help")}>?</button>
      </span>
    </header>`;
}
