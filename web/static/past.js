// Events of one kind over all that the journal holds, for charts: pages of the past, then what arrives.

import { readEvents } from "./api.js";
import { useLoad } from "./details.js";
import { feed, now_ms } from "./store.js";
import { useSignals } from "./use.js";
import { useRef } from "./vendor/htm-preact-standalone.module.js";

const PAGE = 1_000;
const PAGES_MAX = 5; // older ones would move no line that a chart can show

async function readPast(type, more) {
  const found = [];
  let before = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const events = await readEvents(new URLSearchParams({ type, ...more, limit: String(PAGE), ...(before && { before }) }));
    found.push(...events);
    if (events.length < PAGE) break;
    before = String(events.at(-1).position);
  }
  return found;
}

/**
 * Events of a type, oldest first, as they become more.
 * @param {string} type @param {Record<string, string>} [more] what else the journal is asked for @param {(event: any) => boolean} [isMine]
 * @returns {{events: any[], error?: Error}}
 */
export function usePast(type, more = {}, isMine = () => true) {
  useSignals(now_ms); // once a second is as often as a chart need move
  const { value, error } = useLoad(() => readPast(type, more), [type, JSON.stringify(more)]);
  const own = useRef(/** @type {any} */ ({ seen: 0, fresh: [], events: [], of: undefined }));
  const held = own.current;
  let isMore = held.of !== value;
  for (const event of feed.after(held.seen)) {
    held.seen = event.position;
    if (event.type !== type || !isMine(event)) continue;
    held.fresh.push(event);
    isMore = true;
  }
  if (isMore) {
    const last = value?.[0]?.position ?? 0;
    held.of = value;
    held.events = [...(value ?? []).filter(isMine).reverse(), ...held.fresh.filter((event) => event.position > last)];
  }
  return { events: held.events, error };
}
