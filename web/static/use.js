// What components wait for: signals, after which they redraw once per animation frame however often those change, and
// modules that are fetched when they are first wanted.

import { Trouble } from "./parts.js";
import { connection } from "./store.js";
import { html, useEffect, useReducer, useRef, useState } from "./vendor/htm-preact-standalone.module.js";
import { effect } from "./vendor/signals-core.module.js";

const SHOWN_MAX_MS = 3_000;
const NOW = Promise.resolve();

/** @type {Set<() => void>} */
const due = new Set();
let frame = 0;

/** Run once in the next animation frame; in a hidden page that is when it is seen again. @param {() => void} work */
export function nextFrame(work) {
  due.add(work);
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const works = [...due];
    due.clear();
    works.forEach((each) => each());
  });
}

/** The values of signals, kept up to date. @param {...{value: any, peek: () => any}} signals @returns {any[]} */
export function useSignals(...signals) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  const drawn = useRef(/** @type {any[]} */ ([]));
  drawn.current = signals.map((signal) => signal.peek());
  useEffect(() => {
    const check = () => signals.some((signal, index) => signal.peek() !== drawn.current[index]) && redraw(undefined);
    const stop = effect(() => {
      signals.forEach((signal) => signal.value);
      nextFrame(check);
    });
    return () => {
      stop();
      due.delete(check);
    };
  }, []);
  return drawn.current;
}

/** @param {{value: any, peek: () => any}} signal */
export const useSignal = (signal) => useSignals(signal)[0];

/** Settles when the page shows what was asked for, or has tried for a while: what can wait is fetched then. */
let show = () => {};
export const shown = new Promise((resolve) => {
  show = () => resolve(performance.mark("shown"));
  setTimeout(show, SHOWN_MAX_MS);
});
export const isShown = () => show();

/** The sentences of what happens seldom. */
export const rarely = shown.then(() => import("./rarely.js"));

/** The style sheet of all that comes later. @type {Promise<void> | undefined} */
let sheet;

function styles() {
  sheet ??= new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/pages.css" });
    link.onload = () => resolve();
    link.onerror = () => {
      sheet = undefined;
      link.remove();
      reject(new Error("a style sheet could not be fetched"));
    };
    document.head.append(link);
  });
  return sheet;
}

/**
 * A component that stands in for one of a module that is yet to come.
 * @param {() => Promise<any>} load @param {string} name what the module exports @param {Promise<any>} [when] not before
 */
export function lazy(load, name, when = NOW) {
  let found;
  return function Lazy(props) {
    const [error, setError] = useState(/** @type {Error | undefined} */ (undefined));
    const [, redraw] = useState(0);
    const fetchIt = () => {
      setError(undefined);
      when.then(() => Promise.all([load(), styles()])).then(([module]) => {
        found = module[name];
        redraw((count) => count + 1);
        if (when === NOW) isShown();
      }, setError);
    };
    const { phase } = useSignal(connection);
    useEffect(() => void (found || fetchIt()), []);
    useEffect(() => void (error && phase === "live" && fetchIt()), [phase]);
    if (found) return html`<${found} ...${props} />`;
    return error ? html`<${Trouble} error=${new Error(`This part of the page could not be fetched${phase === "live" ? `: ${error.message}` : ": the server does not answer. What was read is kept, and it is fetched when the server is there again"}.`)} retry=${fetchIt} />` : null;
  };
}
