// System: where the timeline stands, how the journal fares, and the checkpoints from which a start goes on.

import { read } from "../api.js";
import { Ago, Facts, useLoad } from "../details.js";
import { Command, Copy, Empty, Panel, Sparkline, Trouble } from "../parts.js";
import { bytes, duration, number } from "../format.js";
import { connection, epoch, head, lag_ms, rates, session, state } from "../store.js";
import { useSignals } from "../use.js";
import { short } from "../times.js";
import { html, useEffect } from "../vendor/htm-preact-standalone.module.js";

const REFRESH_MS = 5_000;

function useRefreshed(path) {
  const loaded = useLoad(() => read(path), [path]);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || loaded.again(), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return loaded;
}

function Timeline() {
  const [whole, at, era, values] = useSignals(state, head, epoch, rates);
  return html`
    <${Panel} title="Timeline"><${Facts} facts=${[
      ["run", html`<span class="id">${whole?.run ?? "–"}</span>`], ["status", whole?.status ?? "–"], ["step", number(whole?.step ?? NaN)],
      ["position of this page", number(whole?.position ?? NaN)], ["head", number(at)], ["epoch", String(era || "–")],
      ["events per second", html`<span class="inline"><${Sparkline} values=${values} width=${120} /> ${number(values.at(-1) ?? 0)}</span>`],
    ]} /><//>`;
}

function Journal() {
  const { value, error, again } = useRefreshed("/api/system");
  const journal = value?.journal ?? value;
  return html`
    <${Panel} title="Journal">
      ${error && html`<${Trouble} error=${error} retry=${again} />`}
      ${journal && html`<${Facts} facts=${[
        ["committed up to", number(journal.watermark)], ["oldest event kept", number(journal.oldest)], ["waiting for the disk", number(journal.buffered)],
        ["oldest of them waits", journal.watermark_age_ms ? duration(journal.watermark_age_ms / 1000) : "nothing waits"],
        ["commits", number(journal.commits)], ["commit, 99 of 100 within", duration(journal.commit_p99_ms / 1000)], ["on disk", bytes(journal.size_bytes)],
      ]} />`}
    <//>`;
}

function Checkpoints() {
  const { value, error, again } = useRefreshed("/api/checkpoints");
  const list = value?.checkpoints ?? (Array.isArray(value) ? value : []);
  return html`
    <${Panel} title="Checkpoints" aside=${list.length ? `${list.length} kept` : ""}>
      ${error && html`<${Trouble} error=${error} retry=${again} />`}
      ${!error && !list.length && html`<${Empty} command="python -m actors.main checkpoints list">Checkpoints are saved as the run goes on, and when it stops.<//>`}
      ${list.length > 0 && html`
        <div class="scroll" tabindex="0" role="region" aria-label="Checkpoints"><table>
          <thead><tr><th>Checkpoint</th><th class="figure">Position</th><th>Reason</th><th>Saved</th><th class="figure">Actors</th><th class="figure">Size</th><th>State hash</th></tr></thead>
          <tbody>${list.map((each) => html`
            <tr key=${each.checkpoint}>
              <td class="id">${each.checkpoint}</td><td class="figure">${number(each.position)}</td><td>${each.label || each.reason.replace("_", " ")}</td>
              <td><${Ago} us=${each.created_us} /></td><td class="figure">${number(Object.keys(each.actors ?? {}).length)}</td>
              <td class="figure">${bytes(each.size_bytes)}</td><td class="id" title=${each.state_hash}>${short(each.state_hash)}<${Copy} text=${each.state_hash} label="Copy hash" /></td>
            </tr>`)}</tbody>
        </table></div>
        <p class="foot">Check them all: <${Command} text="python -m actors.main checkpoints verify" /></p>`}
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
  <div class="panels"><${Timeline} /><${Journal} /><${Access} /></div>
  <${Checkpoints} />`;
