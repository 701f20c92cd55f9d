// Leases: until when an agent keeps its task without a sign of life. Heartbeats leave no event, so the ends are read.

import { Countdown } from "../details.js";
import { read } from "../api.js";
import { duration } from "../format.js";
import { connection, isStale, tasks } from "../store.js";
import { useSignal, useSignals } from "../use.js";
import { html, useEffect } from "../vendor/htm-preact-standalone.module.js";
import { signal } from "../vendor/signals-core.module.js";

const REFRESH_MS = 2_000; // a lease of a minute is renewed every twenty seconds
const LIVE = ["assigned", "running"];

/** By task, its lease as it was last read. */
const leases = signal(/** @type {Record<string, {attempt: number, lease_s: number, until_us: number}>} */ ({}));

/** Read the leases while somebody looks and somebody works; once on each page that draws them. */
export function useLeases() {
  const [work, { phase }] = useSignals(tasks, connection);
  const held = Object.values(work).filter((task) => LIVE.includes(task.state)).map(({ task, attempt }) => `${task}/${attempt}`).sort().join();
  useEffect(() => {
    if (!held || phase !== "live") return undefined;
    const refresh = async () => {
      if (document.hidden || isStale.peek()) return;
      const found = await read("/api/leases").catch(() => undefined); // what was known stays; the bar above says that the server is silent
      if (found) leases.value = Object.fromEntries((found.leases ?? []).map((each) => [each.task, each]));
    };
    refresh();
    const timer = setInterval(refresh, REFRESH_MS);
    return () => clearInterval(timer);
  }, [held, phase]);
}

/** A task's lease as a ring; nothing while nobody holds it. @param {{task: any, isBare?: boolean}} props */
export function Lease({ task, isBare = false }) {
  const known = useSignal(leases)[task.task];
  if (!task.lease_s || !LIVE.includes(task.state)) return null;
  const isSame = known?.attempt === task.attempt;
  const lease_s = isSame ? known.lease_s : task.lease_s;
  const until_us = isSame ? known.until_us : task.updated_us + task.lease_s * 1e6; // not read yet: it began when the work did
  return html`<span class="lease"><${Countdown} opened_us=${until_us - lease_s * 1e6} closes_us=${until_us} isBare=${isBare} over="ends"
    says=${(left) => `Lease of ${task.agent}, ${left} seconds left without a heartbeat`}
    title=${`${task.agent} loses ${task.task} after ${duration(lease_s)} without a heartbeat`} /></span>`;
}
