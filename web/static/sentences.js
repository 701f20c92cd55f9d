// What a person would say about each event. One function per event type; a type without one is named as it is.
// Pure: a sentence is a list of parts, plain text or marked words; it is drawn as text nodes and never parsed.

import { bytes, dollars, duration, money, number, plural } from "./format.js";

/** @typedef {{kind: "agent" | "task" | "money" | "name", text: string, id?: string}} Mark */
/** @typedef {string | Mark} Part */

/** The template tag of a sentence: empty parts vanish. @returns {Part[]} */
function say(strings, ...values) {
  const parts = [];
  strings.forEach((text, index) => {
    if (text) parts.push(text);
    const value = values[index];
    if (Array.isArray(value)) parts.push(...value);
    else if (value !== undefined && value !== "") parts.push(typeof value === "object" ? value : String(value));
  });
  return parts;
}

const name = (text) => ({ kind: "name", text: String(text) });
const paid = (amount, currency = "msat") => ({ kind: "money", text: money(amount, currency) });
const agent = (id) => (id ? { kind: "agent", text: id, id } : "someone");
const because = (reason) => (reason ? `: ${reason}` : "");
const quoted = (text) => `“${text}”`;

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
    if (kind === "cost") return ` for completion ${id}`;
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
  "proposal.proposed": (d) => say`${name(d.proposer)} proposed ${name(d.proposal)}: ${quoted(d.title)}`,
  "proposal.checking": (d) => say`Checks of ${name(d.proposal)} began: ${plural(d.change?.files ?? 0, "file")} change`,
  "proposal.ready": (d) => say`${name(d.proposal)} waits for a decision`,
  "proposal.outdated": (d) => say`${name(d.proposal)} is worked out anew${because(d.reason)}`,
  "approvals.epoch": (d) => say`The approvals go on in history ${number(d.epoch)}`,
  "proposal.voted": (d) => say`${name(d.by)} approved ${name(d.proposal)}${because(d.reason)}`,
  "proposal.approved": (d) => say`${name(d.proposal)} is approved`,
  "proposal.applying": (d) => say`${name(d.proposal)} is being applied`,
  "proposal.applied": (d) => say`${name(d.proposal)} was applied as ${name(String(d.commit).slice(0, 12))}`,
  "proposal.failed": (d) => say`${name(d.proposal)} failed${because(d.reason)}`,
  "proposal.rejected": (d) => say`${name(d.by)} rejected ${name(d.proposal)}${because(d.reason)}`,
  "proposal.expired": (d) => say`${name(d.proposal)} expired: nobody decided in time`,
  "proposal.superseded": (d) => say`${name(d.proposal)} gave way to ${name(d.successor)}`,
  "proposal.withdrawn": (d) => say`${name(d.by)} withdrew ${name(d.proposal)}${because(d.reason)}`,
  "proposal.rolling_back": (d) => say`${name(d.by)} rolls back ${name(d.proposal)}${because(d.reason)}`,
  "proposal.rolled_back": (d) => say`${name(d.proposal)} was rolled back`,
  "proposal.not_rolled_back": (d) => say`${name(d.proposal)} stays${because(d.reason)}`,
  "bid.submitted": (d, w) => say`${agent(d.agent)} placed a sealed bid on ${w.task(d.task)}`,
  "auction.closed": (d, w) =>
    d.winner
      ? say`${agent(d.winner)} won ${w.task(d.task)} with ${paid(d.price_msat)}${because(d.reason)}`
      : say`Nobody bid on ${w.task(d.task)}${because(d.reason)}`,
  "bidder.changed": (d) => say`${agent(d.agent)} is ${d.presence} as a bidder, for ${plural(d.concurrency_max, "task")} at once`,
  "bidder.invited": (d, w) => say`${agent(d.agent)} is free and is asked for a bid on ${w.task(d.task, d.title)}`,
  "schedule.created": (d) => say`Schedule ${d.schedule} will post “${d.spec?.task?.title}”`,
  "schedule.fired": (d) => say`Schedule ${d.schedule} posted ${plural((d.dues ?? []).length, "task")}: “${d.task?.title}”`,
  "schedule.cancelled": (d) => say`Schedule ${d.schedule} was cancelled`,
  "trigger.created": (d) =>
    d.spec?.at ? say`Trigger ${d.trigger} waits for position ${d.spec.at}` : say`Trigger ${d.trigger} waits for ${(d.spec?.types ?? []).join(", ") || "events"}`,
  "trigger.fired": (d) =>
    d.wake ? say`Trigger ${d.trigger} woke ${name(d.wake)}` : say`Trigger ${d.trigger} posted “${d.post?.title}” for event ${d.position}`,
  "trigger.cancelled": (d) => say`Trigger ${d.trigger} was cancelled`,
  "task.waiting": (d, w) => say`${w.task(d.task)} waits${because(d.reason)}`,
  "task.assigned": (d, w) => say`${w.task(d.task, d.spec?.title)} went to ${agent(d.agent)} with a lease of ${duration(d.lease_s)}`,
  "task.started": (d, w) => say`${agent(d.agent)} began ${w.task(d.task)}`,
  "task.completed": (d, w) => say`${agent(d.agent)} finished ${w.task(d.task)} for ${paid(d.price_msat)}`,
  "task.failed": (d, w) => say`${w.task(d.task)} failed${because(d.reason)}`,
  "task.cancelled": (d, w) => say`${w.task(d.task)} was cancelled${because(d.reason)}`,
  "task.expired": (d, w) => say`${w.task(d.task)} ran out of time${because(d.reason)}`,

  "agent.joined": (d) =>
    say`${agent(d.agent)} joined: ${(d.persona?.capabilities ?? []).join(", ") || "no capabilities"}, from ${paid(d.persona?.price_msat)}`,
  "agent.registered": (d) =>
    say`${agent(d.agent)} registered from outside: ${(d.capabilities ?? []).join(", ")}, ${plural(d.concurrency_max, "task")} at once`,
  "agent.left": (d) => say`${agent(d.agent)} left${because(d.reason)}`,
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
  "completion.failed": (d) => say`No provider answered ${agent(d.agent)} (${d.error})${because(d.reason)}`,
  "completion.unknown": (d) =>
    say`What became of ${name(d.completion)} is unknown after a restart; ${paid(d.cost_usd_micros, "usd_micros")} count as spent`,
  "breaker.opened": (d) => say`${name(d.provider)}: breaker opened${because(d.reason)}; tried again in ${duration(d.wait_s)}`,
  "breaker.half_opened": (d) => say`${name(d.provider)}: breaker half open, one probe goes through`,
  "breaker.closed": (d) => say`${name(d.provider)}: breaker closed${because(d.reason)}`,
  "provider.enabled": (d) => say`${name(d.provider)} is in the cascade again`,
  "provider.disabled": (d) => say`${name(d.provider)} was taken out of the cascade${because(d.reason)}`,
  "budget.warned": (d) => say`The ${d.budget} budget is nearly spent: ${dollars(d.spent_usd_micros)} of ${dollars(d.limit_usd_micros)}`,
  "budget.spent": (d) => say`The ${d.budget} budget is spent: ${dollars(d.spent_usd_micros)} of ${dollars(d.limit_usd_micros)}`,
  "budget.raised": (d) => say`The ${d.budget} budget is now ${d.limit_usd_micros ? dollars(d.limit_usd_micros) : "without a limit"}`,

  "quota.reserved": (d) => say`${agent(d.agent)} may use ${[d.calls && plural(d.calls, "call"), d.tokens && plural(d.tokens, "token"), d.disk_bytes && bytes(d.disk_bytes)].filter(Boolean).join(", ")} of its quota`,
  "quota.settled": (d) => say`${agent(d.agent)} used ${[d.calls && plural(d.calls, "call"), d.tokens && plural(d.tokens, "token"), d.disk_bytes && bytes(d.disk_bytes)].filter(Boolean).join(", ") || "nothing"} of its quota`,
  "quota.warned": (d) => say`${agent(d.agent)} has nearly used up its ${d.resource.replace("_", " ")}: ${number(d.used)} of ${number(d.limit)}`,
  "quota.spent": (d) => say`${agent(d.agent)} has used up its ${d.resource.replace("_", " ")}: ${number(d.used)} of ${number(d.limit)}`,

  "account.opened": (d) =>
    say`Account ${name(d.account)} opened in ${d.currency}${d.credit_limit ? (d.credit_limit < 0 ? ", without a limit" : `, credit ${money(d.credit_limit, d.currency)}`) : ""}`,
  "transfer.held": (d, w) => say`${paid(d.amount, d.currency)} of ${name(d.debit)} were held${w.purpose(d.transfer, d.reason)}`,
  "transfer.posted": (d, w) =>
    say`${name(d.debit)} paid ${paid(d.amount, d.currency)} to ${name(d.credit)}${w.purpose(d.transfer, d.reason)}`,
  "transfer.posted_many": (d) =>
    say`${paid((d.postings ?? []).reduce((sum, one) => sum + one.amount, 0), d.currency)} moved in ${plural((d.postings ?? []).length, "transfer")}`,
  "transfer.voided": (d, w) => say`A hold was released${w.purpose(d.hold, d.reason)}`,
  "transfer.expired": (d, w) => say`A hold ran out and was released${w.purpose(d.transfer, "")}`,
  "transfer.refused": (d) =>
    say`${paid(d.amount, d.currency)} from ${name(d.debit)} to ${name(d.credit)} were refused${because(d.reason)}`,

  "invoice.requested": (d) => say`An invoice over ${paid(d.amount_msat)} was asked for, for ${name(d.account)}${d.backend === "simulated" ? " (simulated)" : ""}`,
  "invoice.issued": (d) => say`Invoice ${name(d.invoice)} can be paid`,
  "invoice.settled": (d) => say`Invoice ${name(d.invoice)} was paid: ${paid(d.received_msat)} for ${name(d.account)}${d.backend === "simulated" ? " (simulated)" : ""}`,
  "invoice.failed": (d) => say`Invoice ${name(d.invoice)} brings nothing${because(d.reason)}`,
  "invoice.expired": (d) => say`Invoice ${name(d.invoice)} was not paid in time`,

  "checkpoint.saved": (d) =>
    say`Checkpoint ${name(d.checkpoint)} saved at position ${number(d.at)}: ${bytes(d.size_bytes)} in ${duration(d.elapsed_ms / 1000)}`,
  "checkpoint.failed": (d) => say`Checkpoint ${name(d.checkpoint)} could not be written${because(d.reason)}`,
  "system.started": (d) =>
    say`Agora ${d.agora_version} started${d.recovered_from ? `, recovered from ${d.recovered_from}` : ""}, ${plural(d.replayed, "event")} replayed`,
  "system.info": (d) => say`${d.actor ? [name(d.actor), ": "] : []}${d.text}`,
  "system.warning": (d) => say`Warning${d.actor ? [" from ", name(d.actor)] : []}: ${d.text}`,
  "system.error": (d) =>
    say`Fault${d.actor ? [" in ", name(d.actor)] : []}: ${d.text}${d.error ? ` (${d.error})` : ""}`,

  "system.halted": (d) => say`${d.by ? name(d.by) : "Someone"} stopped everything${because(d.reason)}`,
  "system.resumed": (d) => say`${d.by ? name(d.by) : "Someone"} let everything go on`,
  "alert.raised": (d) => say`Alert ${name(d.alert)}${because(d.cause)}`,
  "alert.cleared": (d) => say`${name(d.alert)} is well again`,
  "alert.delivered": (d) => say`The webhook was told of ${name(d.alert)}`,
  "alert.undelivered": (d) => say`The webhook was not told of ${name(d.alert)}${because(d.reason)}`,
  "upgrade.asked": (d) => say`${name(d.proposal)} takes effect by a restart`,
  "upgrade.restarting": (d) => say`The server stops to start again as ${name(String(d.commit).slice(0, 12))}`,
  "upgrade.unattended": (d) => say`${name(d.proposal)} takes effect when someone starts the server again`,
  "upgrade.taken": (d) => say`The server runs as ${name(d.proposal)} has made it`,
  "upgrade.rolled_back": (d) => say`The server is back without ${name(d.proposal)}${because(d.reason)}`,
  "webhook.added": (d) => say`The webhook ${name(d.webhook)} is told of what happens from now on`,
  "webhook.removed": (d) => say`The webhook ${name(d.webhook)} is no longer told`,
  "webhook.owed": (d) => say`The webhook ${name(d.webhook)} is to be told: ${d.topic}`,
  "webhook.delivered": (d) => say`The webhook ${name(d.webhook)} took it${d.tries > 1 ? ` after ${d.tries} tries` : ""}`,
  "webhook.undelivered": (d) => say`The webhook ${name(d.webhook)} did not take ${d.topic}${because(d.reason)}`,
  "allowance.drawn": (d) => say`${dollars(d.amount_usd_micros)} were set aside for calls`,
  "allowance.returned": (d) => say`${dollars(d.amount_usd_micros)} that were set aside came back`,
  "allowance.lost": (d) => say`${dollars(d.amount_usd_micros)} that were set aside count as spent`,
  "allowance.asked": (d) => say`The ledger was asked for ${dollars(d.amount_usd_micros)} for calls`,
  "allowance.refused": (d) => say`The ledger set nothing aside${because(d.reason)}`,
  "spending.reconciled": (d) => say`By the bill ${dollars(d.spent_usd_micros)} were spent, ${dollars(d.unspent_usd_micros)} not`,
  "provider.seen": (d) => say`${name(d.provider)} is ${d.is_there ? "there again" : "gone"}${because(d.reason)}`,
  "router.reconfigured": (d) => say`The cascade has new settings: ${(d.changes ?? []).join("; ")}`,
  "settings.refused": (d) => say`The settings cannot be used${because(d.reason)}`,
  "router.reordered": (d) => say`The cascade is now ${(d.providers ?? []).join(", ")}`,
  "text.redacted": (d) => say`What ${plural(d.events, "event")} said was redacted by ${name(d.by)}${because(d.reason)}`,
  "journal.pruned": (d) => say`${plural(d.events, "old event")} left the journal; ${bytes(d.freed_bytes)} are free again`,

  "page.gap": (d) => say`Positions ${number(d.from)} to ${number(d.to)} were not received${because(d.reason)}`,
};

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
  agent: "agents", step: "agents", action: "agents", tool: "agents",
  transfer: "money", account: "money", invoice: "money", quota: "money", budget: "money",
  completion: "models", thinking: "models", breaker: "models", provider: "models",
  approval: "approvals",
};

/** The subject whose hue a type's chip has. */
export const subject = (type) => (FAULTS.has(type) ? "faults" : SUBJECTS[type.split(".", 1)[0]] ?? "system");
