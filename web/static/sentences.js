// What a person would say about each event. One function per event type; a type without one is named as it is.
// Pure: a sentence is a list of parts, plain text or marked words; it is drawn as text nodes and never parsed.

import { bytes, duration, money, number, plural } from "./format.js";

/** @typedef {{kind: "agent" | "task" | "money" | "name", text: string, id?: string}} Mark */
/** @typedef {string | Mark} Part */

/** The template tag of a sentence: empty parts vanish. @returns {Part[]} */
export function say(strings, ...values) {
  const parts = [];
  strings.forEach((text, index) => {
    if (text) parts.push(text);
    const value = values[index];
    if (Array.isArray(value)) parts.push(...value);
    else if (value !== undefined && value !== "") parts.push(typeof value === "object" ? value : String(value));
  });
  return parts;
}

export const name = (text) => ({ kind: "name", text: String(text) });
export const paid = (amount, currency = "msat") => ({ kind: "money", text: money(amount, currency) });
export const agent = (id) => (id ? { kind: "agent", text: id, id } : "someone");
export const because = (reason) => (reason ? `: ${reason}` : "");
export const quoted = (text) => `“${text}”`;

/** Names of things that events mention by id. */
class Words {
  /** @param {(task: string) => string | undefined} titleOf */
  constructor(titleOf) {
    this.titleOf = titleOf;
  }
  task(id, title = this.titleOf(id)) {
    return id ? { kind: "task", text: title ? quoted(title) : id, id } : "a task";
  }
  on(id) {
    return id ? [" on ", this.task(id)] : [];
  }
  /** What a transfer is for: its id is derived from what it settles. */
  purpose(transfer, reason) {
    const [kind, ...rest] = String(transfer).split("/");
    const id = rest.join("/");
    if (["hold", "post", "void"].includes(kind) && id) return [" for ", this.task(id)];
    if (kind === "cost" && rest.length === 1) return ` for completion ${id}`;
    return because(reason);
  }
}

/** @type {Record<string, (data: any, words: Words) => Part[]>} */
const SENTENCES = {
  "task.created": (d, w) => say`${w.task(d.task, d.spec?.title)} was posted for at most ${paid(d.spec?.reward_msat)}`,
  "task.bidding": (d, w) => {
    const open = duration((d.closes_us - d.opened_us) / 1e6);
    if (d.attempt > 1) return say`${w.task(d.task, d.title)} is up for bids again, attempt ${d.attempt}${because(d.reason)}`;
    return say`Bids are open on ${w.task(d.task, d.title)} for ${open}, at most ${paid(d.reward_msat)}`;
  },
  "bid.submitted": (d, w) => say`${agent(d.agent)} placed a sealed bid on ${w.task(d.task)}`,
  "auction.closed": (d, w) =>
    d.winner
      ? say`${agent(d.winner)} won ${w.task(d.task)} with ${paid(d.price_msat)}${because(d.reason)}`
      : say`Nobody bid on ${w.task(d.task)}${because(d.reason)}`,
  "bidder.changed": (d) => say`${agent(d.agent)} is ${d.presence} as a bidder, for ${plural(d.concurrency_max, "task")} at once`,
  "bidder.invited": (d, w) => say`${agent(d.agent)} is free and is asked for a bid on ${w.task(d.task, d.title)}`,
  "task.assigned": (d, w) => say`${w.task(d.task, d.spec?.title)} went to ${agent(d.agent)} with a lease of ${duration(d.lease_s)}`,
  "task.started": (d, w) => say`${agent(d.agent)} began ${w.task(d.task)}`,
  "task.completed": (d, w) => say`${agent(d.agent)} finished ${w.task(d.task)} for ${paid(d.price_msat)}`,
  "task.failed": (d, w) => say`${w.task(d.task)} failed${because(d.reason)}`,
  "task.cancelled": (d, w) => say`${w.task(d.task)} was cancelled${because(d.reason)}`,
  "agent.joined": (d) =>
    say`${agent(d.agent)} joined: ${(d.persona?.capabilities ?? []).join(", ") || "no capabilities"}, from ${paid(d.persona?.price_msat)}`,
  "agent.status": (d, w) => say`${agent(d.agent)} is ${d.status}${w.on(d.task)}${because(d.reason)}`,
  "step.started": (d, w) =>
    say`${agent(d.agent)} started a step${w.on(d.task)}${d.attempt_try > 1 ? `, try ${d.attempt_try}` : ""}`,
  "step.completed": (d, w) => say`${agent(d.agent)} ended a step${w.on(d.task)}: ${d.outcome} in ${duration(d.elapsed_s)}`,
  "thinking.completed": (d, w) =>
    say`${agent(d.agent)} thought with ${name(d.provider)}${w.on(d.task)}: ${number(d.tokens_in)} tokens in, ${number(d.tokens_out)} out`,
  "action.executed": (d, w) =>
    d.action === "bid"
      ? say`The bid of ${agent(d.agent)}${w.on(d.task)} ${d.outcome}${because(d.reason)}`
      : say`${agent(d.agent)} ${d.outcome} ${name(d.action)}${w.on(d.task)}${because(d.reason)}`,
  "tool.called": (d, w) => say`${agent(d.agent)} used ${name(d.tool)}${w.on(d.task)}${because(d.argument)}`,
  "tool.completed": (d) => say`${name(d.tool)} answered ${agent(d.agent)}${because(d.result)}`,
  "tool.failed": (d) => say`${name(d.tool)} failed for ${agent(d.agent)}${because(d.reason)}`,
  "artifact.written": (d, w) =>
    say`${d.owner || d.agent ? agent(d.agent || d.owner) : "Someone"} wrote ${name(quoted(d.name))}, ${bytes(d.size_bytes)}${d.task ? [" for ", w.task(d.task)] : []}`,
  "completion.requested": (d, w) => say`${agent(d.agent)} asked for at most ${number(d.tokens_max)} tokens${w.on(d.task)}`,
  "completion.attempt_failed": (d) =>
    say`${name(d.provider)} did not answer ${agent(d.agent)} (${d.error}) after ${duration(d.elapsed_s)}${because(d.reason)}`,
  "completion.completed": (d) =>
    say`${name(d.provider)} answered ${agent(d.agent)} in ${duration(d.elapsed_s)}: ${plural(d.tokens_out, "token")}, ${paid(d.cost_usd_micros, "usd_micros")}`,
  "account.opened": (d) =>
    say`Account ${name(d.account)} opened in ${d.currency}${d.credit_limit ? (d.credit_limit < 0 ? ", without a limit" : `, credit ${money(d.credit_limit, d.currency)}`) : ""}`,
  "transfer.held": (d, w) => say`${paid(d.amount, d.currency)} of ${name(d.debit)} were held${w.purpose(d.transfer, d.reason)}`,
  "transfer.posted": (d, w) =>
    say`${name(d.debit)} paid ${paid(d.amount, d.currency)} to ${name(d.credit)}${w.purpose(d.transfer, d.reason)}`,
  "transfer.voided": (d, w) => say`A hold was released${w.purpose(d.hold, d.reason)}`,
  "checkpoint.saved": (d) =>
    say`Checkpoint ${name(d.checkpoint)} saved at position ${number(d.at)}: ${bytes(d.size_bytes)} in ${duration(d.elapsed_ms / 1000)}`,
  "system.started": (d) =>
    say`Agora ${d.agora_version} started${d.recovered_from ? `, recovered from ${d.recovered_from}` : ""}, ${plural(d.replayed, "event")} replayed`,
  "system.info": (d) => say`${d.actor ? [name(d.actor), ": "] : []}${d.text}`,
  "system.warning": (d) => say`Warning${d.actor ? [" from ", name(d.actor)] : []}: ${d.text}`,
  "system.error": (d) =>
    say`Fault${d.actor ? [" in ", name(d.actor)] : []}: ${d.text}${d.error ? ` (${d.error})` : ""}`,
  "page.gap": (d) => say`Positions ${number(d.from)} to ${number(d.to)} were not received${because(d.reason)}`,
};

let known = 0;

/** How often sentences were learnt: what was said before may be said better now. */
export const learnt = () => known;

/** Take in the sentences of what happens seldom. @param {Record<string, (data: any, words: Words) => Part[]>} more */
export function learn(more) {
  Object.assign(SENTENCES, more);
  known += 1;
}

/**
 * The sentence of an event. Never throws: what cannot be said is named by its type and subject.
 * @param {(task: string) => string | undefined} titleOf @returns {Part[]}
 */
export function sentence(event, titleOf) {
  const found = Object.hasOwn(SENTENCES, event.type) ? SENTENCES[event.type] : undefined;
  if (found) return found(event.data ?? {}, new Words(titleOf));
  return say`${name(event.type)}${event.subject ? ` about ${event.subject}` : ""}`;
}

/** @param {Part[]} parts */
export const plain = (parts) => parts.map((part) => (typeof part === "string" ? part : part.text)).join("");

const FAULTS = new Set(["system.error", "tool.failed", "task.failed", "completion.failed", "completion.attempt_failed",
  "checkpoint.failed", "breaker.opened", "transfer.refused", "invoice.failed", "budget.spent", "alert.raised", "alert.undelivered", "page.gap"]);
const SUBJECTS = {
  task: "tasks", bid: "tasks", bidder: "tasks", auction: "tasks", artifact: "tasks",
  agent: "agents", step: "agents", action: "agents", tool: "agents", memory: "agents",
  schedule: "tasks", trigger: "tasks",
  transfer: "money", account: "money", invoice: "money", quota: "money", budget: "money", allowance: "money", spending: "money",
  completion: "models", thinking: "models", breaker: "models", provider: "models", router: "models",
  proposal: "approvals", approvals: "approvals",
};

/** The subject whose hue a type's chip has. */
export const subject = (type) => (FAULTS.has(type) ? "faults" : SUBJECTS[type.split(".", 1)[0]] ?? "system");
