// All that the page knows, as signals, and the one place where what the server says changes them.

import { Feed } from "./feed.js";
import { milliseconds } from "./format.js";
import { Live } from "./socket.js";
import { batch, computed, signal } from "./vendor/signals-core.module.js";

export const RATE_SECONDS = 60;
const TITLES_MAX = 20_000;

/** How the page stands with the server. */
export const connection = signal({ phase: "connecting" });
export const lag_ms = signal(/** @type {number | null} */ (null));
/** How many events the server still has to send. */
export const behind = signal(0);
export const state = signal(null);
export const session = signal({ principal: "", scopes: /** @type {string[]} */ ([]), isKnown: false });
export const head = signal(0);
/** Why the server is not ready, if it is not. */
export const complaints = signal(/** @type {string[] | undefined} */ (undefined));
export const epoch = signal(0);
/** Rises whenever the feed has changed. */
export const arrived = signal(0);
/** Events in each second since the page opened, at most a minute of them, oldest first. */
export const rates = signal(/** @type {number[]} */ ([]));
/** The server's present, once a second. */
export const now_ms = signal(Date.now());
/** What was just done or refused: `{text, isError}`. */
export const notice = signal(null);
/** The event whose details are open. */
export const opened = signal(null);
/** Rises with each word about a proposal, and with each new connection. */
export const proposed = signal(0);

export const feed = new Feed();

const part = (name) => computed(() => state.value?.[name]?.items ?? {});
export const agents = part("agents");
export const tasks = part("tasks");
export const balances = part("balances");
export const providers = part("router");
export const alerts = part("alerts");
export const isHalted = computed(() => state.value?.status === "halted");
/** Whether what is shown is what a society has left, with nothing running. */
export const isPast = computed(() => state.value?.status === "past");
export const counts = computed(() => state.value?.tasks?.counts ?? {});
export const spend = computed(() => state.value?.spend ?? null);
export const isStale = computed(() => connection.value.phase === "lost");

/** Server time minus ours: countdowns are the server's. A frame can only be late, so the highest difference is the nearest. */
let ahead_ms = -Infinity;
export const serverNow = () => Date.now() + (Number.isFinite(ahead_ms) ? ahead_ms : 0);
const heard = (now_us) => (ahead_ms = Math.max(ahead_ms, now_us ? now_us / 1000 - Date.now() : ahead_ms));

/** @type {Map<string, string>} */
const titles = new Map();
export const titleOf = (task) => tasks.peek()[task]?.title ?? titles.get(task);

/** Whether the session may act with a scope. */
export const may = (scope) => session.value.scopes.some((held) => held === scope || held === "admin" || held === "*");

let live_from = 0;
let received = 0;

function learn(output) {
  switch (output.kind) {
    case "welcome":
      epoch.value = output.epoch;
      head.value = Math.max(head.peek(), output.head);
      live_from = output.head;
      proposed.value++;
      ahead_ms = -Infinity;
      session.value = { principal: output.principal ?? session.peek().principal, scopes: output.scopes ?? [], isKnown: true };
      break;
    case "reset":
      feed.clear();
      titles.clear();
      head.value = 0;
      state.value = null;
      arrived.value++;
      break;
    case "state":
      heard(output.state.now_us);
      state.value = output.state;
      head.value = Math.max(head.peek(), output.state.position ?? 0);
      break;
    case "events":
      take(output.events);
      head.value = Math.max(head.peek(), output.head);
      break;
    case "gap":
      take([{ type: "page.gap", position: output.to, time: serverNow() * 1000, data: output, source: "page", subject: "" }]);
      break;
    case "head":
      heard(output.now_us);
      head.value = Math.max(head.peek(), output.head);
      behind.value = 0;
      complaints.value = output.complaints;
      break;
    case "refused":
      tell(`The server refused the connection: ${output.error.message}`, true);
      break;
    case "lag":
      behind.value = output.behind;
      break;
    case "lag_ms":
      lag_ms.value = output.lag_ms;
      break;
    default:
  }
}

function take(events) {
  for (const event of events) {
    event.ms = milliseconds(event.time);
    if (event.type === "task.created") titles.set(event.data.task, event.data.spec.title);
    if (event.position > live_from) received += 1;
    if (event.position > live_from && event.type.startsWith("proposal.")) proposed.value++;
  }
  if (titles.size > TITLES_MAX) titles.clear(); // the state knows those that matter
  feed.append(events);
  arrived.value++;
}

export const live = new Live({
  output: (output) => batch(() => learn(output)),
  phase: (phase) => {
    connection.value = phase;
    if (phase.phase !== "live") lag_ms.value = null;
  },
});

/** Begin: a second's tick for relative times and rates, and the socket. */
export function begin() {
  setInterval(() => {
    batch(() => {
      rates.value = [...rates.peek().slice(1 - RATE_SECONDS), received];
      received = 0;
      now_ms.value = serverNow();
    });
  }, 1000);
  live.open();
}

let noticeTimer = 0;
export function tell(text, isError = false) {
  clearTimeout(noticeTimer);
  notice.value = { text, isError };
  noticeTimer = setTimeout(() => (notice.value = null), isError ? 12_000 : 5_000);
}
