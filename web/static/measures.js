// What the charts draw, from events and readings. Pure: lists of times in seconds and of values, as a chart takes them.

import { milliseconds } from "./format.js";

const QUANTILE_CALLS = 40; // calls behind each point of a quantile: enough for p99 to say something, few enough to move

const seconds = (event) => (event.ms ?? milliseconds(event.time)) / 1000;

/** The value under which a share of sorted values lies. */
export const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

/** Events per second, from a histogram; times without an event are zeros, not gaps. */
export function pace({ since_us = 0, width_us = 1, buckets = [] }) {
  const times = [];
  const values = [];
  let next = 0;
  for (const bucket of buckets) {
    const index = Math.round((bucket.time_us - since_us) / width_us);
    for (; next <= index; next++) {
      times.push((since_us + next * width_us) / 1e6);
      values.push(next === index ? bucket.events / (width_us / 1e6) : 0);
    }
  }
  return [times, values];
}

/** Running sums of one amount per event and group, oldest first, all on one line of time. @param {any[]} events @param {string[]} groups */
export function sums(events, groups, group, amount) {
  const times = [];
  const lines = groups.map(() => /** @type {number[]} */ ([]));
  const totals = groups.map(() => 0);
  for (const event of events) {
    const index = groups.indexOf(group(event));
    if (index < 0) continue;
    totals[index] += amount(event);
    times.push(seconds(event));
    totals.forEach((total, each) => lines[each].push(total));
  }
  return [times, ...lines];
}

/** p50, p90 and p99 of how long a provider's last calls took, at each of its answers. */
export function latencies(events, provider) {
  const times = [];
  const lines = [[], [], []];
  const window = [];
  for (const { data, ...event } of events) {
    if (data.provider !== provider || !(data.elapsed_s > 0)) continue;
    window.push(data.elapsed_s);
    if (window.length > QUANTILE_CALLS) window.shift();
    const sorted = [...window].sort((a, b) => a - b);
    times.push(seconds(event));
    [0.5, 0.9, 0.99].forEach((share, index) => lines[index].push(quantile(sorted, share)));
  }
  return [times, ...lines];
}

/** Readings that are kept while the page is open, newest last. */
export class Readings {
  constructor(size_max) {
    this.size_max = size_max;
    this.rows = [];
  }

  add(...row) {
    this.rows = [...this.rows, row].slice(-this.size_max);
  }

  columns(count) {
    return Array.from({ length: count }, (_, index) => this.rows.map((row) => row[index] ?? null));
  }
}
