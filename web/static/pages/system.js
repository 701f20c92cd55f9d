// System: what is wrong, where the timeline stands, how the journal fares, who is behind with its mail, and the checkpoints.

import { Chart } from "../charts.js";
import { Facts, useRefreshed } from "../details.js";
import { bytes, duration, number, plural } from "../format.js";
import { pace, Readings } from "../measures.js";
import { Notify } from "../notify.js";
import { Panel, Sparkline, Trouble } from "../parts.js";
import { alerts, complaints, connection, epoch, head, lag_ms, rates, session, state } from "../store.js";
import { useSignals } from "../use.js";
import { html, useMemo } from "../vendor/htm-preact-standalone.module.js";
import { AlertList, Complaints } from "../watch.js";
import { Checkpoints } from "./checkpoints.js";

const MAIL_MS = 2_000; // mailboxes fill and empty faster than anything else here

function Timeline() {
  const [whole, at, era, values] = useSignals(state, head, epoch, rates);
  return html`
    <${Panel} title="Timeline"><${Facts} facts=${[
      ["run", html`<span class="id">${whole?.run ?? "–"}</span>`], ["status", whole?.status ?? "–"], ["step", number(whole?.step ?? NaN)],
      ["position of this page", number(whole?.position ?? NaN)], ["head", number(at)], ["epoch", String(era || "–")],
      ["events per second", html`<span class="inline"><${Sparkline} values=${values} width=${120} /> ${number(values.at(-1) ?? 0)}</span>`],
    ]} /><//>`;
}

/** How long events stay. */
const retention = ({ retain_events, retain_days }) => {
  const spans = [retain_events && `the newest ${number(retain_events)} events`, retain_days && duration(retain_days * 86400)].filter(Boolean);
  return spans.length ? html`<span title="Of older events only the ledger’s and the approvals’ stay">${spans.join(" and ")}</span>` : "all events, for good";
};

function Journal() {
  const { value, error, again } = useRefreshed("/api/system");
  const journal = value?.journal ?? value;
  return html`
    <${Panel} title="Journal">
      ${error && html`<${Trouble} error=${error} retry=${again} />`}
      ${journal && html`<${Facts} facts=${[
        ["committed up to", number(journal.watermark)],
        ["events kept", journal.oldest > 1 ? `from ${number(journal.oldest)} on` : "all of them"], ["waiting for the disk", number(journal.buffered)],
        ["oldest of them waits", journal.watermark_age_ms ? duration(journal.watermark_age_ms / 1000) : "nothing waits"],
        ["commits", number(journal.commits)], ["commit, 99 of 100 within", duration(journal.commit_p99_ms / 1000)], ["on disk", bytes(journal.size_bytes)],
        ["segments", journal.files && html`<span title="Files of the journal; pruning lets go of whole ones">${number(journal.files.segments)} of up to ${number(journal.files.segment_events)} events${journal.files.pruned ? `, ${number(journal.files.pruned)} pruned` : ""}</span>`],
        ["retention", journal.files && retention(journal.files)],
      ]} />`}
    <//>`;
}

const PACE = [{ label: "events/s", hue: "accent", isFilled: true }];
const format = (value) => (value >= 10 ? number(Math.round(value)) : number(Math.round(value * 100) / 100));

function Pace() {
  const { value } = useRefreshed("/api/events/histogram?buckets=300");
  const data = useMemo(() => pace(value ?? {}), [value]);
  return html`<${Panel} title="Events per second, over all time" name="charts"><${Chart} label="Events per second" data=${data} series=${PACE} format=${format} empty="Too little has happened for a line." /><//>`;
}

const MAIL = [{ label: "waiting in mailboxes", hue: "accent", isFilled: true, isStepped: true }, { label: "the fullest", hue: "system", dash: [6, 3], isStepped: true }];
const mail = new Readings(720); // an hour of them

/** Actors under those that supervise them; among siblings the one with the most mail first. @returns {{depth: number, actor: any}[]} */
function tree(actors, parent = "", depth = 0) {
  const known = new Set(actors.map((each) => each.address));
  const mine = actors.filter((each) => (parent ? each.parent === parent : !known.has(each.parent)));
  mine.sort((a, b) => b.mailbox.depth - a.mailbox.depth || b.mailbox.high_water - a.mailbox.high_water || b.handled - a.handled);
  return mine.flatMap((actor) => [{ actor, depth }, ...tree(actors, actor.address, depth + 1)]);
}

/** How full a mailbox is now, and how full it was at most. */
const Mailbox = ({ mailbox: { depth, size_max, high_water } }) => html`
  <span class="bar mailbox" title=${`${number(depth)} of ${number(size_max)} wait; at most ${number(high_water)} did`}>
    <i style=${{ width: `${(100 * depth) / size_max}%` }}></i><u style=${{ left: `${Math.min(99.5, (100 * high_water) / size_max)}%` }}></u></span>`;

/** Who is behind with its mail. */
function Actors() {
  const { value, error, again } = useRefreshed("/api/system", MAIL_MS);
  const list = value?.actors ?? [];
  const data = useMemo(() => {
    const depths = list.map((each) => each.mailbox.depth);
    if (depths.length) mail.add(Date.now() / 1000, depths.reduce((sum, depth) => sum + depth, 0), Math.max(...depths));
    return mail.columns(3);
  }, [value]);
  if (error && !list.length) return html`<${Panel} title="Actors"><${Trouble} error=${error} retry=${again} /><//>`;
  if (!list.length) return null;
  return html`
    <${Panel} title="Actors" aside=${`${number(list.length)} alive, the fullest mailbox first`}>
      <div class="scroll" tabindex="0" role="region" aria-label="Actors"><table class="actors">
        <thead><tr><th>Actor</th><th>State</th><th class="bar-cell">Mailbox</th><th class="figure">Waiting</th><th class="figure">Handled</th><th class="figure">p99</th><th class="figure">Restarts</th><th>Last fault</th></tr></thead>
        <tbody>${tree(list).map(({ actor, depth }) => html`
          <tr key=${actor.address}>
            <td class="id"><span style=${{ paddingLeft: `${16 * depth}px` }}>${actor.address}</span></td>
            <td>${actor.parked_at ? html`<span class="fault">parked at ${number(actor.parked_at)}</span>` : actor.state}</td>
            <td class="bar-cell"><${Mailbox} mailbox=${actor.mailbox} /></td>
            <td class="figure">${number(actor.mailbox.depth + actor.lag)}</td><td class="figure">${number(actor.handled)}</td>
            <td class="figure">${actor.handle_p99_s > 0 ? micros(actor.handle_p99_s) : "–"}</td>
            <td class="figure">${actor.restarts ? html`<span class="fault">${number(actor.restarts)}</span>` : html`<span class="faint">0</span>`}</td>
            <td class="clip">${actor.last_error || html`<span class="faint">–</span>`}</td>
          </tr>`)}</tbody>
      </table></div>
    <//>
    <${Panel} title="Mail that waits, while this page is open" name="charts"><${Chart} label="Mail" data=${data} series=${MAIL} isWhole empty="The first readings come within seconds." /><//>`;
}

const micros = (seconds) => (seconds < 0.001 ? `${Math.max(1, Math.round(seconds * 1e6))} µs` : duration(seconds));

/** What is wrong now, and since when. */
function Alerts() {
  const [items, trouble] = useSignals(alerts, complaints);
  const list = Object.values(items).sort((a, b) => b.raised_us - a.raised_us);
  return html`
    <${Panel} title="Alerts" name="wrong" aside=${html`${list.length ? plural(list.length, "alert") : ""}<${Notify} />`}>
      <${Complaints} />
      ${!list.length && !trouble?.length && html`<p class="faint">All is well: no actor is stuck, no budget is spent, no breaker is open, and the disk has room.</p>`}
      ${list.length > 0 && html`<${AlertList} list=${list} />`}
    <//>`;
}

function Access() {
  const [who, { phase }, lag] = useSignals(session, connection, lag_ms);
  return html`
    <${Panel} title="This page"><${Facts} facts=${[
      ["connection", phase], ["round trip", lag === null ? "–" : duration(lag / 1000)],
      ["acts as", !who.principal || who.principal === "anonymous" ? "nobody: read only" : who.principal], ["may", who.scopes.length ? who.scopes.join(", ") : "read"],
    ]} /><//>`;
}

export const System = () => html`
  <header class="page-head"><h1>System</h1></header>
  <${Alerts} />
  <div class="panels"><${Timeline} /><${Journal} /><${Access} /></div>
  <${Pace} />
  <${Actors} />
  <${Checkpoints} />`;
