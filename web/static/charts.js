// Charts over time, for what people would rather look at than read. The library is fetched with the first chart.

import { number, plural, time } from "./format.js";
import { moment } from "./times.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact-standalone.module.js";

const HEIGHT = 148;
const DAY_S = 86_400;
const CHARACTER_PX = 6.2; // of the axes' font, on average
const LABEL_PX = 13; // between the names of two lines
const SECONDS = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, DAY_S, 2 * DAY_S, 5 * DAY_S, 10 * DAY_S, 30 * DAY_S, 90 * DAY_S];
const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));

/** @type {Promise<any> | undefined} */
let library;

function add(element) {
  return new Promise((resolve, reject) => {
    element.onload = resolve;
    element.onerror = () => reject(new Error("the charts could not be fetched"));
    document.head.append(element);
  });
}

/** uPlot, which defines itself as a global of a classic script. */
function fetchLibrary() {
  library ??= Promise.all([
    add(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/vendor/uPlot.min.css" })),
    add(Object.assign(document.createElement("script"), { src: "/static/vendor/uPlot.iife.min.js" })),
  ]).then(() => /** @type {any} */ (globalThis).uPlot, (error) => {
    library = undefined;
    throw error;
  });
  return library;
}

/** What the style sheet says of a hue, in the scheme that is on. */
function colour(element, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const lastOf = (values) => values?.findLast((value) => value !== null) ?? null;
const say = (value, format) => (value === null ? "–" : format(value));

/** A moment, with its day where the chart shows more than one. */
const when = (plot, seconds) => (plot.data[0].at(-1) - plot.data[0][0] > DAY_S ? moment : time)(seconds * 1000);

/** The nearest of 1, 2 and 5 times a power of ten that is not above a value, or not below it. */
function round(value, isUp) {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 2, 5, 10].map((step) => step * power);
  return (isUp ? steps.find((step) => step >= value * 0.999) : steps.findLast((step) => step <= value * 1.001)) ?? value;
}

/** Each line's name at its end, for lines that are told apart by their names alone. */
function names(font, ink) {
  return (plot) => {
    const { ctx, bbox: { left, width, top, height } } = plot;
    const scale = devicePixelRatio;
    const ends = plot.series.slice(1).map(({ label }, index) => ({ label, y: plot.valToPos(lastOf(plot.data[index + 1]) ?? 0, "y", true) }));
    ends.sort((a, b) => b.y - a.y);
    let free = top + height + LABEL_PX * scale;
    ctx.save();
    ctx.font = font.replace(/^\d+/, (size) => String(size * scale));
    ctx.fillStyle = ink;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    for (const { label, y } of ends) {
      free = Math.min(y, free - LABEL_PX * scale);
      ctx.fillText(label, left + width + 6 * scale, free);
    }
    ctx.restore();
  };
}

/** @typedef {{label: string, hue: string, dash?: number[], isFilled?: boolean, isStepped?: boolean}} Series */
/** @typedef {{isLog: boolean, isWhole: boolean, isNamed: boolean}} Manner whether values are drawn by their logarithm, are counts, and stand at the end of lines of one hue */

/** @param {any} uPlot @param {HTMLElement} element @param {Series[]} series @param {(value: number) => string} format @param {Manner} manner */
function options(uPlot, element, series, format, { isLog, isWhole, isNamed }) {
  const [faint, line, surface] = ["faint", "line", "surface"].map((name) => colour(element, name));
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: faint, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  return {
    width: Math.max(120, element.clientWidth),
    height: HEIGHT,
    padding: [8, isNamed ? 16 + CHARACTER_PX * Math.max(...series.map(({ label }) => label.length)) : 30, 0, 0],
    hooks: isNamed ? { draw: [names(font, colour(element, "dim"))] } : {},
    cursor: { drag: { x: false, y: false }, points: { fill: surface } },
    legend: { live: true },
    scales: { y: isLog ? { distr: 3, range: (_, low, high) => (low > 0 ? [round(low, false), Math.max(round(high, true), 2 * round(low, false))] : [0.01, 1]) } : { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, size: 24, values: (plot, ticks) => ticks.map((tick) => when(plot, tick)), space: 110, incrs: SECONDS },
      { ...axis, size: (_, labels) => 16 + CHARACTER_PX * Math.max(4, ...(labels ?? []).map((each) => each.length)), values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))), space: 34, ...(isWhole && { incrs: WHOLE }) },
    ],
    series: [
      { label: "at", value: (plot, value) => when(plot, value ?? plot.data[0].at(-1)) },
      ...series.map(({ label, hue, dash, isFilled = false, isStepped = false }) => {
        const stroke = colour(element, hue);
        return {
          label, stroke, dash, width: 1.5, points: { show: false }, spanGaps: true,
          fill: isFilled ? stroke.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)") : undefined,
          paths: isStepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
          value: (plot, value, index) => say(value ?? lastOf(plot.data[index]), format),
        };
      }),
    ],
  };
}

/** The scheme, as it changes. */
function useScheme() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const change = () => redraw((count) => count + 1);
    const watch = new MutationObserver(change);
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: light)");
    system.addEventListener("change", change);
    return () => {
      watch.disconnect();
      system.removeEventListener("change", change);
    };
  }, []);
  return document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
}

/**
 * Lines over time: first the times in seconds, then one list of values per series.
 * @param {{label: string, data: (number | null)[][], series: Series[], format?: (value: number) => string, isLog?: boolean, isWhole?: boolean, isNamed?: boolean, empty?: string}} props what differs a thousandfold is drawn by its logarithm
 */
export function Chart({ label, data, series, format = number, isLog = false, isWhole = false, isNamed = false, empty = "Nothing has been measured yet." }) {
  const element = useRef(/** @type {any} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const latest = useRef(data); // it may have grown while the library was being fetched
  latest.current = data;
  const [error, setError] = useState("");
  const scheme = useScheme();
  const shape = JSON.stringify(series);
  const isEmpty = data[0].length < 2;
  useEffect(() => {
    if (isEmpty) return undefined;
    let isOpen = true;
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.current.clientWidth, height: HEIGHT }));
    fetchLibrary().then((uPlot) => {
      if (!isOpen) return;
      plot.current = new uPlot(options(uPlot, element.current, series, format, { isLog, isWhole, isNamed }), latest.current, element.current);
      resize.observe(element.current);
    }, (fault) => setError(fault.message));
    return () => {
      isOpen = false;
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, scheme, isEmpty]);
  useEffect(() => plot.current?.setData(data), [data]);
  if (isEmpty || error) return html`<p class="faint">${error ? `${label}: ${error}.` : empty}</p>`;
  const last = series.map(({ label: name }, index) => `${name} ${say(lastOf(data[index + 1]), format)}`);
  return html`<div class="chart" ref=${element} role="img" aria-label=${`${label} over ${plural(data[0].length, "moment")}; the last: ${last.join(", ")}`}></div>`;
}
