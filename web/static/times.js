// Times, shares and ids as the pages behind the first one show them. Pure.

const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** `3 min ago`. */
export function ago(ms, now_ms) {
  const seconds = (now_ms - ms) / 1000;
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1.5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** The exact moment, for a hover. */
export const moment = (ms) => (Number.isFinite(ms) ? full.format(ms) : "");

/** Share as a percentage. */
export const percent = (part, whole) => (whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–");

/** Long ids keep their beginning. */
export const short = (id) => (id.length > 18 ? `${id.slice(0, 12)}…` : id);
