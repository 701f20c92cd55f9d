// Numbers, money and times as people read them. Pure: the present is an argument.

const count = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** 12345 -> `12,345` */
export const number = (value) => (Number.isFinite(value) ? count.format(value).replace("-", "−") : "–");

/** `1 task`, `2 tasks` */
export const plural = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

/** An amount in a currency's smallest unit, with the unit. */
export function money(amount, currency = "msat") {
  return currency === "usd_micros" ? dollars(amount) : `${number(amount)} ${currency}`;
}

/** Millionths of a dollar; below a cent two more digits tell. */
export function dollars(micros) {
  const value = Math.abs(micros || 0) / 1e6;
  if (value > 0 && value < 0.0001) return "<$0.0001";
  return `${micros < 0 ? "−" : ""}$${value.toFixed(value > 0 && value < 0.01 ? 4 : 2)}`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1000) return plural(value, "byte");
  const units = ["kB", "MB", "GB", "TB"];
  let size = value / 1000;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

const rest = (value, unit) => (value >= 1 ? ` ${Math.floor(value)} ${unit}` : "");

/** A span of time. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.00095 && seconds > 0) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min${rest(seconds % 60, "s")}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h${rest((seconds % 3600) / 60, "min")}`;
  return `${Math.floor(seconds / 86400)} d${rest((seconds % 86400) / 3600, "h")}`;
}

/** `14:03:22` */
export const time = (ms) => (Number.isFinite(ms) ? clock.format(ms) : "–");

/** Wire times are RFC 3339 text or microseconds since 1970. */
export const milliseconds = (value) => (typeof value === "number" ? value / 1000 : Date.parse(value));
