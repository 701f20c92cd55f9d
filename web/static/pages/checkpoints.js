// Checkpoints: on the line of positions from which a start can go on, each with what can be done from it.
//
// Rules: saving, keeping, proving and comparing are done here. Going back and branching off are commands, to be copied: they
// need the server that this page comes from to stand still.

import { read, send } from "../api.js";
import { Ago, useMay, useRefreshed } from "../details.js";
import { bytes, duration, number, plural } from "../format.js";
import { Command, Copy, Empty, Panel, Trouble } from "../parts.js";
import { head, tell } from "../store.js";
import { short } from "../times.js";
import { useSignals } from "../use.js";
import { html, useState } from "../vendor/htm-preact-standalone.module.js";

const PROOF_MS = 60_000; // a large checkpoint is read whole
const COMMAND = "python -m actors.main checkpoints";

/** How far back each lies; the one that is chosen stands out. */
function Track({ list, last, chosen, choose }) {
  const end = Math.max(1, last, ...list.map((each) => each.position));
  return html`
    <div class="checkpoint-track">
      ${list.map((each) => html`<button key=${each.checkpoint} tabindex="-1" aria-hidden="true" data-pinned=${each.is_pinned ? "" : undefined} data-chosen=${each.checkpoint === chosen ? "" : undefined}
        title=${`${each.checkpoint}, position ${number(each.position)}${each.is_pinned ? ", pinned" : ""}`} style=${{ left: `${(100 * each.position) / end}%` }} onClick=${() => choose(each.checkpoint)}></button>`)}
    </div>
    <p class="scale pad-wide"><span>0</span><span>now, ${number(end)}</span></p>`;
}

/** Save one now. */
function Save({ saved }) {
  const [label, setLabel] = useState("");
  const [isSaving, setSaving] = useState(false);
  const save = async (event) => {
    event.preventDefault();
    setSaving(true);
    try {
      const { checkpoint } = await send("POST", "/api/checkpoints", { label: label.trim() });
      tell(`Saved as ${checkpoint}.`);
      setLabel("");
    } catch (problem) {
      tell(`No checkpoint was saved: ${problem.message}`, true);
    }
    setSaving(false);
    saved();
  };
  return html`<form class="save" onSubmit=${save}>
    <input name="label" type="text" placeholder="Label" aria-label="Label of the checkpoint" maxlength="80" value=${label} onInput=${(event) => setLabel(event.target.value)} autocomplete="off" />
    <button disabled=${isSaving}>${isSaving ? "Saving …" : "Save a checkpoint"}</button></form>`;
}

/** Whether it stays, whatever comes after it. */
function Pin({ of, again }) {
  const pin = async () => {
    try {
      await send("PATCH", `/api/checkpoints/${encodeURIComponent(of.checkpoint)}`, { pinned: !of.is_pinned });
      tell(of.is_pinned ? `${of.checkpoint} goes with the others.` : `${of.checkpoint} stays.`);
    } catch (problem) {
      tell(`Nothing was changed: ${problem.message}`, true);
    }
    again();
  };
  return html`<button aria-pressed=${String(Boolean(of.is_pinned))} onClick=${pin}>${of.is_pinned ? "Pinned" : "Pin it"}</button>`;
}

/** Something that is read when it is asked for. @param {{name: string, path: string, show: (value: any) => any}} props */
function Asked({ name, path, show }) {
  const [{ value, error, isAsking }, set] = useState(/** @type {{value?: any, error?: Error, isAsking?: boolean}} */ ({}));
  const ask = async () => {
    set({ isAsking: true });
    await read(path, PROOF_MS).then((found) => set({ value: found }), (problem) => set({ error: problem }));
  };
  return html`<div class="asked"><button disabled=${isAsking} onClick=${ask}>${isAsking ? "Reading …" : value || error ? `${name} again` : name}</button>
    <div role="status">${error && html`<p class="fault">Not done: ${error.message}. The checkpoint is as it was.</p>`}${value && show(value)}</div></div>`;
}

const Proof = ({ problem, elapsed_ms }) => problem
  ? html`<p class="fault">It is damaged: ${problem}. A start passes it over and takes the one before it; what it held is in the journal too.</p>`
  : html`<p>It is sound: all of it was read and is what its hashes say. <span class="faint">${duration(elapsed_ms / 1000)}</span></p>`;

const keys = ({ count, first }) => (count ? html`<span title=${first.join("\n")}>${number(count)}: <span class="id">${first.slice(0, 3).join(", ")}${count > 3 ? ", …" : ""}</span></span>` : html`<span class="faint">–</span>`);

/** What changed since, actor by actor. */
function Changes({ before, after, differences, count }) {
  if (!count) return html`<p>${before === after ? "It is the newest: there is none after it." : `No actor differs in ${after}.`}</p>`;
  return html`<p>To ${after}, ${plural(count, "actor")} changed${count > differences.length ? `; the first ${differences.length}` : ""}.</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${`What changed since ${before}`}><table class="changes">
      <thead><tr><th>Actor</th><th>Added</th><th>Removed</th><th>Changed</th><th class="figure">Size</th></tr></thead>
      <tbody>${differences.map((each) => html`<tr key=${each.actor}><td class="id">${each.actor}</td><td>${keys(each.added)}</td><td>${keys(each.removed)}</td><td>${keys(each.changed)}</td>
        <td class="figure">${bytes(each.bytes_before)} to ${bytes(each.bytes_after)}</td></tr>`)}</tbody>
    </table></div>`;
}

/** What can be done from one: looking is done here, going back is a command. */
const Ways = ({ of }) => html`
  <dl class="ways">
    <div><dt>Prove that it is whole</dt><dd><${Asked} name="Verify" path=${`/api/checkpoints/${encodeURIComponent(of.checkpoint)}/verify`} show=${Proof} /></dd></div>
    <div><dt>See what changed since, actor by actor</dt><dd><${Asked} name="Compare with the newest" path=${`/api/checkpoints/${encodeURIComponent(of.checkpoint)}/diff`} show=${Changes} /></dd></div>
    <div><dt>Go on from there; what is there now is kept beside it</dt><dd><${Command} text=${`${COMMAND} restore ${of.checkpoint}`} /></dd></div>
    <div><dt>Go on from there in another directory</dt><dd><${Command} text=${`${COMMAND} fork ${of.checkpoint} --into ELSEWHERE`} /></dd></div>
  </dl>`;

const Row = ({ each, isChosen, choose, mayAct, again }) => html`
  <tr data-chosen=${isChosen ? "" : undefined}>
    <td><button class="link id" data-item aria-expanded=${String(isChosen)} onClick=${() => choose(isChosen ? "" : each.checkpoint)}>${each.checkpoint}</button></td>
    <td class="figure">${number(each.position)}</td><td>${each.label || each.reason.replace("_", " ")}</td>
    <td><${Ago} us=${each.created_us} /></td><td class="figure">${number(Object.keys(each.actors ?? {}).length)}</td><td class="figure">${bytes(each.size_bytes)}</td>
    <td class="id" title=${each.state_hash}>${short(each.state_hash)}<${Copy} text=${each.state_hash} label="Copy hash" /></td>
    <td class="figure">${mayAct ? html`<${Pin} of=${each} again=${again} />` : each.is_pinned ? "pinned" : ""}</td>
  </tr>
  ${isChosen && html`<tr class="opened"><td colspan="8"><${Ways} of=${each} /></td></tr>`}`;

export function Checkpoints() {
  const [last] = useSignals(head);
  const mayAct = useMay("admin");
  const [chosen, choose] = useState("");
  const { value, error, again } = useRefreshed("/api/checkpoints");
  const list = value?.checkpoints ?? [];
  const damaged = value?.damaged ?? [];
  return html`
    <${Panel} title="Checkpoints" name="checkpoints" aside=${html`${list.length ? `${plural(list.length, "checkpoint")} kept` : ""}${mayAct && html`<${Save} saved=${again} />`}`}>
      ${error && html`<${Trouble} error=${error} retry=${again} />`}
      ${!error && value && !list.length && !damaged.length && html`<${Empty} command=${`${COMMAND} create`}>Checkpoints are saved as the run goes on, and when it stops. A start goes on from the newest.<//>`}
      ${list.length > 0 && html`
        <${Track} list=${list} last=${last} chosen=${chosen} choose=${choose} />
        <div class="scroll" tabindex="0" role="region" aria-label="Checkpoints"><table>
          <thead><tr><th>Checkpoint</th><th class="figure">Position</th><th>Reason</th><th>Saved</th><th class="figure">Actors</th><th class="figure">Size</th><th>State hash</th><th class="figure">${mayAct ? "Keep" : ""}</th></tr></thead>
          <tbody>${list.map((each) => html`<${Row} key=${each.checkpoint} each=${each} isChosen=${each.checkpoint === chosen} choose=${choose} mayAct=${mayAct} again=${again} />`)}</tbody>
        </table></div>
        <p class="foot">Open one to prove it, compare it, go back to it or branch off. Any other position serves as well: <${Command} text=${`${COMMAND} restore ${Math.max(1, last - 100)}`} /></p>`}
      ${damaged.map((each) => html`<p class="foot fault" key=${each.checkpoint}>${each.checkpoint} is damaged, and nothing goes on from it: ${each.problem}</p>`)}
    <//>`;
}
