// Plain HTTP to the server.

import { session } from "./store.js";

const DEADLINE_MS = 15_000;

/** What the server said no to, in its words (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the server answered ${status}`);
    this.status = status;
  }
}

export async function call(path, options = {}, deadline_ms = DEADLINE_MS) {
  const response = await fetch(path, { ...options, credentials: "same-origin", signal: AbortSignal.timeout(deadline_ms) });
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const body = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

export const read = (path, deadline_ms = DEADLINE_MS) => call(path, { headers: { accept: "application/json" } }, deadline_ms);

/** Ask for a change. */
export const send = (method, path, body) =>
  call(path, { method, headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify(body) });

/** An artifact's text. @returns {Promise<string>} */
export async function readText(id) {
  const body = await call(`/api/artifacts/${encodeURIComponent(id)}/content`);
  return typeof body === "string" ? body : body.text ?? JSON.stringify(body, null, 2);
}

/** A page of the journal, or of what is found in all of it up to its `head`. @param {URLSearchParams} query @param {"" | "/search"} [how] @returns {Promise<{events: any[], head: number}>} */
export const readPage = (query, how = "") => read(`/api/events${how}?${query}`);

/** @param {URLSearchParams} query @returns {Promise<any[]>} */
export const readEvents = async (query) => (await readPage(query)).events;

export async function readSession() {
  const found = await read("/api/session").catch((problem) => {
    if (problem instanceof Problem) return {};
    throw problem;
  });
  session.value = { principal: found.principal ?? "", scopes: found.scopes ?? [], isKnown: true };
}
