// Numbers, money and times as people read them. Pure: the present is an argument.

const count = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** 12345 -> `12,345` @param {number} value */
export const number = (value) => (Number.isFinite(value) ? count.format(value).replace("-", "−") : "–");

/** `1 task`, `2 tasks` @param {number} value @param {string} noun */
export const plural = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

/** An amount in a currency's smallest unit, with the unit. @param {number} amount @param {string} currency */
export function money(amount, currency = "msat") {
  return currency === "usd_micros" ? dollars(amount) : `${number(amount)} ${currency}`;
}

/** Millionths of a dollar; below a cent two more digits tell. @param {number} micros */
export function dollars(micros) {
  const value = Math.abs(micros || 0) / 1e6;
  if (value > 0 && value < 0.0001) return "<$0.0001";
  return `${micros < 0 ? "−" : ""}$${value.toFixed(value > 0 && value < 0.01 ? 4 : 2)}`;
}

/** @param {number} value */
export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1000) return plural(value, "byte");
  const units = ["kB", "MB", "GB", "TB"];
  let size = value / 1000;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** A span of time. @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.9995) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** `3 min ago`. @param {number} ms @param {number} now_ms */
export function ago(ms, now_ms) {
  const seconds = (now_ms - ms) / 1000;
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1.5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** `14:03:22` @param {number} ms */
export const time = (ms) => (Number.isFinite(ms) ? clock.format(ms) : "–");

/** The exact moment, for a hover. @param {number} ms */
export const moment = (ms) => (Number.isFinite(ms) ? full.format(ms) : "");

/** Wire times are RFC 3339 text or microseconds since 1970. @param {string | number} value */
export const milliseconds = (value) => (typeof value === "number" ? value / 1000 : Date.parse(value));

/** Share as a percentage. @param {number} part @param {number} whole */
export const percent = (part, whole) => (whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–");

/** Long ids keep their beginning. @param {string} id */
export const short = (id) => (id.length > 18 ? `${id.slice(0, 12)}…` : id);
