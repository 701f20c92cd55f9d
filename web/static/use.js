// Signals in components: a component redraws once per animation frame however often its signals change.

import { useEffect, useReducer, useRef } from "./vendor/htm-preact-standalone.module.js";
import { effect } from "./vendor/signals-core.module.js";

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
