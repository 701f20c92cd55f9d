// The pieces of the pages behind the first one: times, countdowns, choices, facts, dialogs, and what is read over HTTP.

import { read } from "./api.js";
import { duration, money } from "./format.js";
import { ago, moment } from "./times.js";
import { Icon, ICONS } from "./parts.js";
import { isStale, may, now_ms, serverNow, session } from "./store.js";
import { useSignal } from "./use.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.module.js";

Object.assign(ICONS, {
  plus: "M8 3v10M3 8h10",
  back: "M9.5 3.500L5 8l4.5 4.5",
  board: "M2.5 2.500h3v11h-3zM6.5 2.500h3v7h-3zM10.5 2.500h3v9h-3z",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.500V8l2.5 1.500",
  table: "M2.5 3.500h11M2.5 8h11M2.5 12.500h11",
});

/** Relative, with the exact time on hover. @param {{us: number}} props */
export function Ago({ us }) {
  const now = useSignal(now_ms);
  if (!us) return html`<span class="faint">–</span>`;
  return html`<time title=${moment(us / 1000)} dateTime=${new Date(us / 1000).toISOString()}>${ago(us / 1000, now)}</time>`;
}

export const Money = ({ amount, currency = "msat" }) => html`<span class="money">${money(amount, currency)}</span>`;

const isStill = matchMedia("(prefers-reduced-motion: reduce)");

/** A time that runs out: a ring that empties, driven by the style sheet; for who wants no motion, it steps with the seconds beside it. */
export function Countdown({ opened_us, closes_us, says = (left) => `Closes in ${left} seconds`, over = "closing", title = "", isBare = false }) {
  useSignal(now_ms);
  const start = useRef({ closes_us: 0, delay: 0 });
  const window_s = Math.max(0.1, (closes_us - opened_us) / 1e6);
  if (start.current.closes_us !== closes_us) {
    start.current = { closes_us, delay: opened_us / 1e6 - serverNow() / 1000 };
  }
  const left_s = Math.max(0, closes_us / 1e6 - serverNow() / 1000);
  const gone = 100 * Math.min(1, 1 - left_s / window_s);
  const style = isStill.matches ? { strokeDashoffset: gone, animation: "none" }
    : { animationDuration: `${window_s}s`, animationDelay: `${Math.min(0, start.current.delay)}s` };
  return html`
    <span class="countdown" role="timer" aria-label=${says(Math.ceil(left_s))} title=${title || undefined}>
      <svg key=${closes_us} viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
        <circle cx="10" cy="10" r="8" /><circle class="left" cx="10" cy="10" r="8" pathLength="100" style=${style} />
      </svg>
      ${!isBare && html`<span>${left_s > 0 ? duration(Math.ceil(left_s)).replace(".0", "") : over}</span>`}
    </span>`;
}

/** Things to choose one of. @param {{label: string, value: string, options: [string, string, string?][], choose: (value: string) => void}} props */
export const Choice = ({ label, value, options, choose }) => html`
  <div class="choice" role="group" aria-label=${label}>
    ${options.map(([id, name, icon]) => html`
      <button key=${id} aria-pressed=${String(id === value)} onClick=${() => choose(id)}>${icon && html`<${Icon} name=${icon} />`}${name}</button>`)}
  </div>`;

/** Facts as pairs. @param {{facts: [string, any][]}} props */
export const Facts = ({ facts }) => html`
  <dl class="facts">${facts.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => html`
    <div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/** Anything held for a while by a name, that the keyboard and a screen reader can leave again. */
export function Dialog({ title, close, children, name = "" }) {
  const element = useRef(/** @type {any} */ (null));
  useEffect(() => {
    element.current.showModal();
    return () => element.current?.close?.();
  }, []);
  return html`
    <dialog ref=${element} class=${name} aria-label=${title} onCancel=${(event) => { event.preventDefault(); close(); }}
      onClick=${(event) => event.target === element.current && close()}>
      <section class="dialog-body">
        <header><h2>${title}</h2><button class="quiet" aria-label="Close" onClick=${close}><${Icon} name="close" /></button></header>
        ${children}
      </section>
    </dialog>`;
}

/** Something that is read once and again when `when` changes. @param {() => Promise<any>} load @param {any[]} when */
export function useLoad(load, when) {
  const [result, set] = useState(/** @type {{value?: any, error?: Error, isLoading: boolean}} */ ({ isLoading: true }));
  const turn = useRef(0);
  const again = () => {
    const mine = ++turn.current;
    set((before) => ({ ...before, isLoading: true }));
    load().then(
      (value) => mine === turn.current && set({ value, isLoading: false }),
      (error) => mine === turn.current && set((before) => ({ value: before.value, error, isLoading: false })),
    );
  };
  useEffect(() => {
    again();
    return () => void turn.current++;
  }, when);
  return { ...result, again };
}

const REFRESH_MS = 5_000;

/** What is read, and read again while somebody looks and the server is there. */
export function useRefreshed(path, every_ms = REFRESH_MS) {
  const loaded = useLoad(() => read(path), [path]);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || isStale.peek() || loaded.again(), every_ms);
    return () => clearInterval(timer);
  }, []);
  return loaded;
}

/** Whether the session may do something; false too while the server cannot be reached. @param {string} scope */
export function useMay(scope) {
  useSignal(session);
  const stale = useSignal(isStale);
  return may(scope) && !stale;
}
