// Where the reader is. The fragment holds it all, so that a reload or a shared address shows the same.

import { signal } from "./vendor/signals-core.module.js";

export const PAGES = [
  { id: "activity", name: "Activity", key: "a" },
  { id: "tasks", name: "Tasks", key: "t" },
  { id: "agents", name: "Agents", key: "e" },
  { id: "ledger", name: "Ledger", key: "l" },
  { id: "router", name: "Router", key: "r" },
  { id: "approvals", name: "Approvals", key: "p" },
  { id: "memory", name: "Memory", key: "m" },
  { id: "system", name: "System", key: "s" },
];

/** @returns {{page: string, id: string, query: URLSearchParams}} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [page, ...rest] = path.split("/");
  const known = PAGES.some((each) => each.id === page);
  return { page: known ? page : "activity", id: known ? decode(rest.join("/")) : "", query: new URLSearchParams(query) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a hand-written address with a lone percent sign
  }
}

export const route = signal(parse(location.hash));
addEventListener("hashchange", () => (route.value = parse(location.hash)));

export const address = (page, id = "") => `#/${page}${id ? `/${encodeURIComponent(id)}` : ""}`;

export function go(hash) {
  location.hash = hash;
}

/** Change the query in place, without a step in the history. @param {Record<string, string>} changes */
export function setQuery(changes) {
  const { page, id, query } = parse(location.hash);
  const before = query.toString();
  for (const [key, value] of Object.entries(changes)) value ? query.set(key, value) : query.delete(key);
  const text = query.toString();
  if (text === before) return;
  history.replaceState(null, "", address(page, id) + (text ? `?${text}` : ""));
  route.value = parse(location.hash);
}
