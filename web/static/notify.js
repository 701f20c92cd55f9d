// Notifications on the desktop, for who asks for them: what waits for a person's word, and what is wrong.
//
// Rules: permission is asked for by a click and by nothing else. Nothing is told of what happened before. One proposal or
// alert has one notification, which the next about it replaces.

import { route } from "./route.js";
import { arrived, epoch, feed, head } from "./store.js";
import { useSignals } from "./use.js";
import { html } from "./vendor/htm-preact-standalone.module.js";
import { effect, signal } from "./vendor/signals-core.module.js";

const KEY = "agora.notify";
const TEXT_MAX = 200;

const canNotify = () => "Notification" in globalThis;
const isGranted = () => canNotify() && Notification.permission === "granted";

/** `off`, `on`, or `denied` by the browser. */
const mode = signal(chosen());
let seen = 0;
let history = 0;

function chosen() {
  try {
    return isGranted() && localStorage.getItem(KEY) === "on" ? "on" : "off";
  } catch {
    return "off"; // storage is blocked: it is asked for anew each time
  }
}

function remember(next) {
  mode.value = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // storage is blocked: it holds for this page
  }
}

/** What is told of an event: its words, and where a click leads; nothing for most. */
export function words(event) {
  if (event.type === "proposal.ready") return { title: "A proposal waits for a decision", body: event.data.proposal, at: `#/approvals/${event.data.proposal}` };
  if (event.type === "alert.raised") return { title: `Alert: ${event.data.alert}`, body: event.data.cause, at: "#/system" };
  return null;
}

function show(event) {
  const said = words(event);
  if (!said) return;
  const notification = new Notification(said.title, { body: String(said.body).slice(0, TEXT_MAX), tag: `agora/${said.body}`, icon: "/static/icon.svg" });
  notification.addEventListener("click", () => {
    globalThis.focus();
    location.hash = said.at;
    notification.close();
  });
}

effect(() => {
  arrived.value;
  const isNew = history === epoch.value;
  history = epoch.value;
  if (!isNew || mode.value !== "on") {
    seen = head.peek();
    return;
  }
  for (const event of feed.after(seen)) {
    seen = event.position;
    show(event);
  }
});

async function ask() {
  const answer = isGranted() ? "granted" : await Notification.requestPermission();
  remember(answer === "granted" ? "on" : "denied");
}

/** The switch. It says so where the browser has none, or was told to refuse. */
export function Notify() {
  const [now] = useSignals(mode, route);
  if (!canNotify()) return null;
  if (now === "denied") return html`<span class="faint">The browser refuses notifications from this page.</span>`;
  const isOn = now === "on";
  return html`<button aria-pressed=${String(isOn)} title="A notification on the desktop for each proposal that waits, and each alert"
    onClick=${() => (isOn ? remember("off") : void ask())}>Notify me</button>`;
}
