// All time under the feed: how dense the journal is, where the reader stands in it, and a handle to go to any moment.

import { read } from "./api.js";
import { number, plural, time } from "./format.js";
import { setQuery } from "./route.js";
import { head, isStale } from "./store.js";
import { moment } from "./times.js";
import { useSignals } from "./use.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.module.js";

const BUCKETS = 240; // bars of some 5 px on a wide screen
const REFRESH_MS = 10_000;
const RESTS_MS = 120; // the list follows when the hand rests this long

/** The histogram, read again now and then. */
function useHistogram() {
  const [found, set] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let isOpen = true;
    const load = () => document.hidden || isStale.peek() || read(`/api/events/histogram?buckets=${BUCKETS}`).then((value) => isOpen && value.buckets && set(value), () => undefined);
    load();
    const timer = setInterval(load, REFRESH_MS);
    return () => {
      isOpen = false;
      clearInterval(timer);
    };
  }, []);
  return found;
}

const clamp = (value) => Math.max(0, Math.min(1, value));

/** Moments, places on the line from 0 to 1, and positions, each from the other. */
export class Line {
  constructor({ since_us, width_us, buckets }) {
    this.since_us = since_us;
    this.width_us = width_us;
    this.buckets = buckets;
    this.spans = buckets.length ? Math.round((buckets.at(-1).time_us - since_us) / width_us) + 1 : 1;
    this.most = Math.max(1, ...buckets.map((each) => each.events));
  }

  index(bucket) {
    return Math.round((bucket.time_us - this.since_us) / this.width_us);
  }

  /** Where a position is. */
  place(position) {
    let found = 0;
    for (const bucket of this.buckets) {
      if (bucket.first > position) break;
      const share = bucket.last > bucket.first ? clamp((position - bucket.first) / (bucket.last - bucket.first)) : 1;
      found = (this.index(bucket) + share) / this.spans;
    }
    return clamp(found);
  }

  /** The last event at or before a place, and the moment. */
  at(place) {
    const spans = clamp(place) * this.spans;
    let position = this.buckets[0]?.first ?? 0;
    let events = 0;
    for (const bucket of this.buckets) {
      const share = spans - this.index(bucket);
      if (share < 0) break;
      position = bucket.first + Math.round(Math.min(1, share) * (bucket.last - bucket.first));
      events = share <= 1 ? bucket.events : 0;
    }
    return { position, events, ms: (this.since_us + spans * this.width_us) / 1000 };
  }

  /** The outline of the bars; the root of the count, so that quiet times are seen beside busy ones. */
  path() {
    return this.buckets.map((bucket) => {
      const height = 4 + 36 * Math.sqrt(bucket.events / this.most);
      return `M${this.index(bucket)} 40v-${height.toFixed(1)}h0.8v${height.toFixed(1)}z`;
    }).join("");
  }
}

/** @param {{at: number}} props the position that is looked at; 0 is live */
export function Scrubber({ at }) {
  const [newest] = useSignals(head);
  const found = useHistogram();
  const track = useRef(/** @type {any} */ (null));
  const [hover, setHover] = useState(/** @type {number | null} */ (null));
  const rest = useRef(0);
  if (!found?.buckets.length) return null;
  const line = new Line(found);
  const place = at ? line.place(at) : 1;
  const shown = hover ?? place;
  const here = line.at(shown);
  const isDay = found.width_us * line.spans < 86_400e6;
  const say = (ms) => (isDay ? time(ms) : moment(ms));

  const go = (to, wait = 0) => {
    clearTimeout(rest.current);
    const next = to >= 1 ? "" : String(line.at(to).position);
    rest.current = setTimeout(() => setQuery({ at: next }), wait);
  };
  const from = (event) => {
    const box = track.current.getBoundingClientRect();
    return clamp((event.clientX - box.left) / box.width);
  };
  const down = (event) => {
    track.current.setPointerCapture(event.pointerId);
    setHover(from(event));
    go(from(event));
  };
  const move = (event) => {
    setHover(from(event));
    if (track.current.hasPointerCapture(event.pointerId)) go(from(event), RESTS_MS);
  };
  const key = (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (step) go(clamp(place + step / line.spans));
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(1);
    else return;
    event.preventDefault();
  };
  return html`
    <div class="scrubber">
      <div ref=${track} class="track" role="slider" tabindex="0" aria-label="Moment of the journal" aria-valuemin="0" aria-valuemax=${line.spans}
        aria-valuenow=${Math.round(place * line.spans)} aria-valuetext=${at ? `${moment(line.at(place).ms)}, position ${number(at)}` : "live"}
        onPointerDown=${down} onPointerMove=${move} onPointerLeave=${() => setHover(null)} onKeyDown=${key}>
        <svg viewBox=${`0 0 ${line.spans} 40`} preserveAspectRatio="none" aria-hidden="true"><path d=${line.path()} /></svg>
        <i class="handle" data-live=${at ? undefined : ""} style=${{ left: `${place * 100}%` }}></i>
        ${hover !== null && html`<i class="hair" style=${{ left: `${hover * 100}%` }}></i>`}
      </div>
      <p class="scale"><span>${say(found.since_us / 1000)}</span>
        <span class="here">${hover !== null ? `${say(here.ms)} · position ${number(here.position)}${here.events ? ` · ${plural(here.events, "event")} then` : ""}`
          : at ? `${plural(Math.max(0, newest - at), "event")} since` : "drag to go back to any moment"}</span>
        <span>now</span></p>
    </div>`;
}
