// Approvals: what waits for a person's word, exactly what would happen, and the word.

import { call, read, send } from "../api.js";
import { Ago, Choice, Facts, useLoad, useMay } from "../details.js";
import { duration, number, plural } from "../format.js";
import { Notify } from "../notify.js";
import { Copy, Empty, Icon, Panel, State, Trouble } from "../parts.js";
import { address, setQuery } from "../route.js";
import { proposed, session, tell } from "../store.js";
import { moment } from "../times.js";
import { useSignals } from "../use.js";
import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact-standalone.module.js";

const LISTED_MAX = 200;
const LINES_OPEN_MAX = 400; // a longer file is folded until someone wants it
const LINES_SHOWN_MAX = 20_000;
const STATES = ["", "ready", "checking", "proposed", "applying", "applied", "failed", "rejected", "expired", "superseded", "withdrawn", "rolling_back", "rolled_back"];
const SAID_SHOWN_MAX = 64 * 1024;
const NO_SANDBOX = "Checks run in a working tree of the merged tree. A working tree is not a sandbox: they have the rights of the server.";
const NAMING = /^(diff --git |index |--- |\+\+\+ )/; // said in the file's own heading
const RISKY = /[\u202a-\u202e\u2066-\u2069\u200b-\u200f]/g; // signs that show a text otherwise than it is

/** The files of a unified diff, each with its lines. @param {string} text */
export function files(text) {
  const found = [];
  let hunk = false;
  for (const line of text.replace(/\n$/, "").split("\n")) {
    if (line.startsWith("diff --git ")) {
      found.push({ name: line.slice(11).replace(/^.* b\//, ""), lines: [], added: 0, removed: 0 });
      hunk = false;
    }
    const file = found.at(-1);
    if (!file) continue;
    hunk ||= line.startsWith("@@");
    if (!hunk && NAMING.test(line)) continue;
    const kind = !hunk ? "head" : line.startsWith("@@") ? "hunk" : line[0] === "+" ? "added" : line[0] === "-" ? "removed" : "same";
    if (kind === "added") file.added += 1;
    if (kind === "removed") file.removed += 1;
    file.lines.push({ kind, text: line.replace(RISKY, (sign) => `<U+${sign.charCodeAt(0).toString(16).toUpperCase()}>`) });
  }
  return found;
}

/** Lines as pairs: what was beside what is. */
export function pairs(lines) {
  const rows = [];
  let left = [];
  let right = [];
  const flush = () => {
    for (let index = 0; index < Math.max(left.length, right.length); index += 1) rows.push([left[index], right[index]]);
    left = [];
    right = [];
  };
  for (const line of lines) {
    if (line.kind === "removed") left.push(line);
    else if (line.kind === "added") right.push(line);
    else {
      flush();
      rows.push([line, line]);
    }
  }
  flush();
  return rows;
}

const WIDE = ["head", "hunk"]; // said once, for both sides

const Line = ({ line }) => html`<code data-kind=${line?.kind ?? "none"}>${line?.text ?? ""}</code>`;

function File({ file, view }) {
  const shown = file.lines.slice(0, LINES_SHOWN_MAX);
  const [isOpen, open] = useState(file.lines.length <= LINES_OPEN_MAX);
  return html`
    <details class="diff-file" open=${isOpen} onToggle=${(event) => open(event.target.open)}>
      <summary><b>${file.name}</b> <span class="plus">+${number(file.added)}</span> <span class="minus">−${number(file.removed)}</span></summary>
      ${isOpen && html`<div class=${`diff diff-${view}`} tabindex="0" role="region" aria-label=${`Changes of ${file.name}`}>
        ${view === "split"
          ? pairs(shown).map(([left, right]) => (WIDE.includes(left?.kind) ? html`<${Line} line=${left} />` : html`<${Line} line=${left} /><${Line} line=${right} />`))
          : shown.map((line) => html`<${Line} line=${line} />`)}
      </div>`}
      ${file.lines.length > LINES_SHOWN_MAX && html`<p class="faint pad">${number(file.lines.length - LINES_SHOWN_MAX)} more lines: read them with the command line.</p>`}
    </details>`;
}

function Diff({ proposal, hash, query }) {
  const { value, error, again } = useLoad(() => call(`/api/approvals/${proposal}/diff`), [proposal, hash]);
  const parsed = useMemo(() => files(value ?? ""), [value]);
  const view = query.get("diff") ?? "unified";
  if (error) return html`<${Trouble} error=${error} retry=${again} />`;
  if (value === undefined) return null;
  return html`
    <${Panel} title=${plural(parsed.length, "file")} aside=${html`<${Choice} label="How the diff is shown" value=${view}
      options=${[["unified", "Unified"], ["split", "Side by side"]]} choose=${(next) => setQuery({ diff: next === "unified" ? "" : next })} />`}>
      ${parsed.map((file) => html`<${File} key=${file.name} file=${file} view=${view} />`)}
    <//>`;
}

/** What running checks say, as they say it. @param {{proposal: string}} props */
function Running({ proposal }) {
  const [said, hear] = useState("");
  const place = useRef(/** @type {any} */ (null));
  useEffect(() => {
    let isGone = false;
    const follow = async () => {
      for (let after = 0, isOver = false; !isOver && !isGone; ) {
        const part = await read(`/api/approvals/${proposal}/checks?after=${after}`);
        if (isGone) return;
        hear((before) => ((part.next < after ? "" : before) + part.text).slice(-SAID_SHOWN_MAX));
        [after, isOver] = [part.next, part.is_over];
      }
    };
    follow().catch((error) => isGone || hear((before) => `${before}\n${error.message}`));
    return () => void (isGone = true);
  }, [proposal]);
  useEffect(() => {
    place.current.scrollTop = place.current.scrollHeight;
  }, [said]);
  return html`
    <${Panel} title="Checks are running"><pre class="scroll" ref=${place} role="log" aria-label="What the checks say" tabindex="0">${said || "They have said nothing yet."}</pre>
      <p class="faint">${NO_SANDBOX}</p><//>`;
}

function Checks({ view }) {
  const { checks, proposal } = view;
  const { value } = useLoad(() => (checks ? call(`/api/approvals/${proposal}/output`) : Promise.resolve("")), [proposal, checks?.output]);
  if (view.state === "checking") return html`<${Running} key=${view.version} proposal=${proposal} />`;
  if (!checks) return null;
  return html`
    <${Panel} title=${checks.exit_code === 0 && !checks.reason ? "Checks passed" : "Checks failed"} aside=${duration(checks.took_ms / 1000)}>
      <p><code>${checks.command.join(" ")}</code> ended with ${checks.exit_code}${checks.reason ? `: ${checks.reason}` : ""}</p>
      <details><summary>What they said</summary><pre class="scroll" tabindex="0">${value}</pre></details>
      <p class="faint">${NO_SANDBOX}</p>
    <//>`;
}

/** What the policy still asks for. */
function asked({ approvers, votes = [] }) {
  const left = approvers - votes.length;
  if (!approvers) return "needs nobody's word";
  return votes.length ? `needs ${plural(left, "more approver")}, has ${number(votes.length)}` : `needs ${plural(left, "approver")}`;
}

/** The bar at the foot with the hash: what is decided on is what was shown. */
function Decide({ view, decided }) {
  const [reason, write] = useState("");
  const [isBusy, busy] = useState(false);
  const [who] = useSignals(session);
  const mayDecide = useMay("approve");
  const isReady = view.state === "ready";
  const canUndo = view.state === "applied";
  if (!isReady && !canUndo) return null;
  const decide = async (word) => {
    if (!reason.trim() || isBusy) return;
    busy(true);
    try {
      await send("POST", `/api/approvals/${view.proposal}/${word}`, { hash: view.hash, reason, version: word === "rollback" ? undefined : view.version });
      tell(`${view.proposal}: ${word}`);
      write("");
    } catch (error) {
      tell(error.message, true);
    } finally {
      busy(false);
      decided();
    }
  };
  const keyed = (event) => {
    if (event.key !== "Enter" || !event.shiftKey || !isReady) return;
    event.preventDefault();
    void decide("reject");
  };
  const isOwn = view.proposer === who.principal;
  const off = !mayDecide || isBusy || !reason.trim();
  return html`
    <form class="decide" onSubmit=${(event) => { event.preventDefault(); void decide(isReady ? "approve" : "rollback"); }}>
      <span class="what"><span class="id" title="The hash of exactly what is shown">${view.hash.slice(0, 12)}<${Copy} text=${view.hash} label="Copy hash" /></span>
        <span class="faint">${isReady ? asked(view) : "is applied"}${isReady && isOwn ? "; nobody approves their own" : ""}</span></span>
      <input data-search aria-label="Reason" placeholder=${mayDecide ? "The reason, which is kept for ever" : "Deciding needs the scope approve"} maxlength="2000"
        value=${reason} disabled=${!mayDecide} onInput=${(event) => write(event.target.value)} onKeyDown=${keyed} aria-keyshortcuts=${isReady ? "Enter Shift+Enter" : "Enter"} />
      ${isReady && html`<button class="primary" disabled=${off || isOwn} title=${isOwn ? "Nobody approves what they proposed themselves" : "Enter"}>Approve</button>
        <button type="button" disabled=${off} title="Shift+Enter" onClick=${() => decide("reject")}>Reject</button>`}
      ${canUndo && html`<button disabled=${off}>Roll back</button>`}
    </form>`;
}

function Proposal({ id, query }) {
  const [turn] = useSignals(proposed);
  const { value: view, error, again } = useLoad(() => read(`/api/approvals/${encodeURIComponent(id)}`), [id, turn]);
  if (!view) return error ? html`<div class="proposal"><header class="page-head"><h1>Proposal ${id}</h1></header><${Trouble} error=${error} retry=${again} /></div>` : null;
  return html`
    <div class="proposal">
      <header class="page-head"><h1>${view.title}</h1><${State} state=${view.state} /></header>
      ${view.reason && html`<p role="status">${view.reason}</p>`}
      <${Facts} facts=${[
        ["Proposal", view.proposal], ["Kind", view.kind], ["Impact", view.impact], ["Proposed by", view.proposer],
        ["Proposed", html`<${Ago} us=${view.created_us} />`], ["Policy", view.approvers ? `${view.votes?.length ?? 0} of ${plural(view.approvers, "approver")}` : "automatic"],
        ["Expires", ["proposed", "checking", "ready"].includes(view.state) ? moment(view.expires_us / 1000) : ""],
        ["Where", view.target ? `${view.target.repository}: ${view.target.branch}` : ""], ["From", view.target?.head ?? ""],
        ["Commit", view.commit?.slice(0, 12) ?? ""], ["Revert", view.revert ? html`<a href=${address("approvals", view.revert)}>${view.revert}</a>` : ""],
      ]} />
      ${view.detail && html`<p class="prose">${view.detail}</p>`}
      <${Checks} view=${view} />
      ${view.change && html`<${Diff} proposal=${view.proposal} hash=${view.hash} query=${query} />`}
      <${Panel} title="History"><ol class="steps">${(view.history ?? []).map((step, index) => html`
        <li key=${index}><${Ago} us=${step.at_us} /><span>${step.what.split(".")[1].replaceAll("_", " ")}${step.by ? ` by ${step.by}` : ""}${step.reason ? `: ${step.reason}` : ""}</span></li>`)}</ol><//>
      <${Decide} key=${`${view.proposal}/${view.hash}`} view=${view} decided=${again} />
    </div>`;
}

export function Approvals({ id, query }) {
  const [turn] = useSignals(proposed);
  const state = query.get("state") ?? "";
  const { value: page, error, again } = useLoad(() => read(`/api/approvals?limit=${LISTED_MAX}${state ? `&state=${state}` : ""}`), [turn, state]);
  if (error && !page) return html`<header class="page-head"><h1>Approvals</h1></header><${Trouble} error=${error} retry=${again} />`;
  const list = page?.proposals ?? [];
  return html`
    ${id && html`<a class="back narrow" href="#/approvals"><${Icon} name="back" />Approvals</a>`}
    <header class="page-head" data-open=${id ? "" : undefined}><${id ? "p" : "h1"} class="title">Approvals<//>
      <span class="faint">${page ? `${number(page.pending)} waiting for a decision` : ""}</span>
      <select aria-label="State" value=${state} onChange=${(event) => setQuery({ state: event.target.value })}>
        ${STATES.map((each) => html`<option value=${each}>${each ? each.replaceAll("_", " ") : "every state"}</option>`)}
      </select>
      <${Notify} />
    </header>
    ${page && !list.length && !id
      ? html`<${Empty} command="python -m actors.main approvals list">Whatever needs a person's word appears here: changes to git repositories, spending, tools, new agents.<//>`
      : html`<div class="approvals" data-open=${id ? "" : undefined}>
          <ul class="proposals">${list.map((view) => html`
            <li key=${view.proposal}><a class="card" data-item href=${address("approvals", view.proposal)} aria-current=${view.proposal === id ? "true" : undefined}>
              <span class="card-title">${view.title}</span>
              <span class="card-line"><${State} state=${view.state} /><span class="clip">${view.proposer}</span></span>
              <span class="card-foot"><span class="id">${view.proposal}</span><${Ago} us=${view.updated_us} /></span></a></li>`)}</ul>
          ${id ? html`<${Proposal} key=${id} id=${id} query=${query} />` : html`<p class="faint choose">Choose a proposal to see exactly what would happen.</p>`}
        </div>`}`;
}
