// What waits for a person, on every page: alerts with their causes, and the switch that stops everything.

import { read, send } from "./api.js";
import { Ago, Dialog, useLoad, useMay } from "./details.js";
import { plural } from "./format.js";
import { Notify } from "./notify.js";
import { Icon, ICONS } from "./parts.js";
import { alerts, connection, isHalted, tell } from "./store.js";
import { useSignals } from "./use.js";
import { html, useState } from "./vendor/htm-preact-standalone.module.js";

Object.assign(ICONS, { alert: "M8 2.500l6.5 11h-13zM8 6.500v3.500M8 12h.01", stop: "M4 4h8v8h-8z" });

/** Where to look into an alert. */
const PLACES = { breaker: "router", budget: "router", stuck: "system", disk: "system", dead_letters: "activity" };

/** Alerts, each with its cause and the way to where it can be looked into. */
export const AlertList = ({ list, close = () => {} }) => html`
  <ul class="alert-list">${list.map((each) => html`
    <li key=${each.alert}><a href=${`#/${PLACES[each.kind] ?? "system"}`} onClick=${close}><b>${each.alert}</b></a><span class="faint"><${Ago} us=${each.raised_us} /></span><p>${each.cause}</p></li>`)}</ul>`;

function Alerts({ list, close }) {
  return html`
    <${Dialog} title=${plural(list.length, "alert")} close=${close} name="alerts">
      ${!list.length && html`<p>All is well again.</p>`}
      <${AlertList} list=${list} close=${close} />
      <footer><${Notify} /></footer>
    <//>`;
}

/** Asks once, and says what stops and what stays. */
function Halt({ close }) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState("");
  const halt = async (event) => {
    event.preventDefault();
    try {
      await send("POST", "/api/system/halt", { reason: reason.trim() });
      tell("Everything is halted. Nothing is lost: resume goes on where it stood.");
      close();
    } catch (problem) {
      setError(problem.message);
    }
  };
  return html`
    <${Dialog} title="Stop everything?" close=${close}>
      <form onSubmit=${halt}>
        <p>No new turn, call or spend begins until it is resumed, also after a restart. What was recorded stays, and what was begun goes on afterwards.</p>
        <label>Reason<input name="reason" type="text" value=${reason} onInput=${(event) => setReason(event.target.value)} autofocus autocomplete="off" /></label>
        ${error && html`<p class="trouble" role="alert">${error}</p>`}
        <footer><button type="button" onClick=${close}>Let it run</button><button class="danger">Stop everything</button></footer>
      </form>
    <//>`;
}

async function resume() {
  try {
    await send("POST", "/api/system/resume", {});
    tell("Everything goes on.");
  } catch (problem) {
    tell(`It was not resumed: ${problem.message}`, true);
  }
}

/** Money over Lightning is not real where no node is configured: said on every page. */
function Lightning() {
  const [{ phase }] = useSignals(connection);
  const { value } = useLoad(() => (phase === "live" ? read("/api/ledger/invoices?limit=1") : Promise.reject(new Error(phase))), [phase]); // what was known stays
  return value?.is_simulated ? html`<a class="badge simulated" href="#/ledger" title="No Lightning node is configured: invoices are simulated and bring no real money">simulated<span> Lightning</span></a>` : null;
}

export function Watch() {
  const [items, halted] = useSignals(alerts, isHalted);
  const mayAct = useMay("admin");
  const [shown, show] = useState("");
  const list = Object.values(items).sort((a, b) => b.raised_us - a.raised_us);
  const close = () => show("");
  return html`
    <${Lightning} />
    ${list.length > 0 && html`<button class="quiet alarm" title=${list.map((each) => `${each.alert}: ${each.cause}`).join("\n")} onClick=${() => show("alerts")}><${Icon} name="alert" /><span>${plural(list.length, "alert")}</span></button>`}
    ${halted && html`<span class="badge halted">halted</span>`}
    ${mayAct && (halted ? html`<button class="resume" onClick=${resume}><${Icon} name="play" /><span>Resume</span></button>`
      : html`<button class="quiet halt" title="Stop everything; asks once" onClick=${() => show("halt")}><${Icon} name="stop" /><span>Halt</span></button>`)}
    ${shown === "alerts" && html`<${Alerts} list=${list} close=${close} />`}
    ${shown === "halt" && html`<${Halt} close=${close} />`}`;
}
