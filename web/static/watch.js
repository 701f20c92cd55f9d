// What waits for a person, on every page: alerts with their causes, and the switch that stops everything.

import { read, send } from "./api.js";
import { Ago, Dialog, useLoad, useMay } from "./details.js";
import { plural } from "./format.js";
import { Notify } from "./notify.js";
import { Icon, ICONS } from "./parts.js";
import { alerts, complaints, connection, isHalted, tell } from "./store.js";
import { useSignal, useSignals } from "./use.js";
import { html, useState } from "./vendor/htm-preact-standalone.module.js";

Object.assign(ICONS, { alert: "M8 2.500l6.5 11h-13zM8 6.500v3.500M8 12h.01", stop: "M4 4h8v8h-8z" });

/** Where to look into an alert. */
const PLACES = { breaker: "router", budget: "router", stuck: "system", disk: "system", dead_letters: "activity" };

/** Why the server is not ready: what is kept all the same, and what to do. */
const WAYS = /** @type {[RegExp, string, string, string][]} */ ([
  [/intake is paused|waited .* for the disk/, "system", "Everything that was acknowledged is on the disk, and what waits is kept in memory; reading goes on.", "Make room on the disk of the data directory, or see why it is slow. The rest goes on by itself."],
  [/journal cannot be written/, "system", "Everything that was acknowledged is on the disk; nothing new is taken.", "Repair the disk or its rights, then start the server again."],
  [/is parked/, "system", "The events that it did not take are in the journal, in their order.", "The last fault on the system page says why. Once the cause is mended, start the server again: it goes on where it stopped."],
  [/is stuck/, "system", "Its mail waits, and nothing that was recorded is lost.", "If it does not move on by itself, start the server again: it goes on where the journal ends."],
]);
const ELSE = ["", "system", "What was recorded stays.", "The system page shows each actor and the journal."];

/** What stands in the way of work now; it comes with the server's heartbeat, also when nothing can be recorded. @param {{close?: () => void}} props */
export function Complaints({ close = () => {} }) {
  const list = useSignal(complaints) ?? [];
  if (!list.length) return null;
  return html`
    <ul class="alert-list">${list.map((each) => {
      const [, page, kept, ways] = WAYS.find(([pattern]) => pattern.test(each)) ?? ELSE;
      return html`<li key=${each.replace(/\d+/g, "")}><a class="fault" href=${`#/${page}`} onClick=${close}><b>${each}</b></a><span class="faint">now</span><p>${kept} ${ways}</p></li>`;
    })}</ul>`;
}

/** Alerts, each with its cause and the way to where it can be looked into. */
export const AlertList = ({ list, close = () => {} }) => html`
  <ul class="alert-list">${list.map((each) => html`
    <li key=${each.alert}><a href=${`#/${PLACES[each.kind] ?? "system"}`} onClick=${close}><b>${each.alert}</b></a><span class="faint"><${Ago} us=${each.raised_us} /></span><p>${each.cause}</p></li>`)}</ul>`;

function Alerts({ list, words, close }) {
  return html`
    <${Dialog} title=${words || "No alerts"} close=${close} name="alerts">
      ${!words && html`<p>All is well again.</p>`}
      <${Complaints} close=${close} />
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
  const [items, halted, trouble] = useSignals(alerts, isHalted, complaints);
  const mayAct = useMay("admin");
  const [shown, show] = useState("");
  const list = Object.values(items).sort((a, b) => b.raised_us - a.raised_us);
  const words = [trouble?.length && "not ready", list.length && plural(list.length, "alert")].filter(Boolean).join(", ");
  const causes = [...(trouble ?? []), ...list.map((each) => `${each.alert}: ${each.cause}`)];
  const close = () => show("");
  return html`
    <${Lightning} />
    <span class="unseen" role="status">${trouble?.length ? `The server is not ready: ${trouble[0].replace(/[\d.]+ s/, "a while")}` : ""}</span>
    ${words && html`<button class="quiet alarm" title=${causes.join("\n")} onClick=${() => show("alerts")}><${Icon} name="alert" /><span>${words}</span></button>`}
    ${halted && html`<span class="badge halted">halted</span>`}
    ${mayAct && (halted ? html`<button class="resume" onClick=${resume}><${Icon} name="play" /><span>Resume</span></button>`
      : html`<button class="quiet halt" title="Stop everything; asks once" onClick=${() => show("halt")}><${Icon} name="stop" /><span>Halt</span></button>`)}
    ${shown === "alerts" && html`<${Alerts} list=${list} words=${words} close=${close} />`}
    ${shown === "halt" && html`<${Halt} close=${close} />`}`;
}
