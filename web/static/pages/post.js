// The form that posts a task. Its key is made when it opens, so that sending twice posts once.

import { Dialog } from "../details.js";
import { agents, balances, live, tell } from "../store.js";
import { money } from "../format.js";
import { useSignals } from "../use.js";
import { html, useState } from "../vendor/htm-preact-standalone.module.js";

const REWARD_MSAT = 1_000;
const TITLE_MAX = 200;

/** A random key; `randomUUID` would need a secure context. */
function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function Post({ close, posted }) {
  const [people, accounts] = useSignals(agents, balances);
  const [key] = useState(freshKey);
  const [spec, setSpec] = useState({ title: "", instructions: "", capability: "", reward_msat: REWARD_MSAT });
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState("");
  const set = (name) => (event) => setSpec({ ...spec, [name]: event.target.value });
  const capabilities = [...new Set(Object.values(people).flatMap((each) => each.capabilities ?? []))].sort();
  const treasury = accounts["treasury/msat"];

  const send = async (event) => {
    event.preventDefault();
    setSending(true);
    setError("");
    try {
      const wanted = { ...spec, title: spec.title.trim(), reward_msat: Number(spec.reward_msat) };
      const { task } = await live.ask("task.create", wanted, `page-${key}`);
      tell(`Posted as ${task}`);
      close();
      posted(task);
    } catch (refusal) {
      setError(refusal.message);
      setSending(false);
    }
  };
  return html`
    <${Dialog} title="Post a task" close=${close} name="post">
      <form onSubmit=${send}>
        <label>Title<input name="title" type="text" required maxlength=${TITLE_MAX} value=${spec.title} onInput=${set("title")} autofocus autocomplete="off" /></label>
        <label>Instructions<textarea name="instructions" rows="5" value=${spec.instructions} onInput=${set("instructions")}></textarea></label>
        <div class="fields">
          <label>Pays at most, in msat<input name="reward" type="number" min="1" step="1" required value=${spec.reward_msat} onInput=${set("reward_msat")} /></label>
          <label>Who must be able to<select name="capability" value=${spec.capability} onChange=${set("capability")}>
            <option value="">anyone</option>${capabilities.map((each) => html`<option value=${each}>${each}</option>`)}
          </select></label>
        </div>
        ${treasury && html`<p class="faint">The money is held in the treasury until the task ends; ${money(treasury.available)} are available.</p>`}
        ${error && html`<p class="trouble" role="alert">${error}</p>`}
        <footer><button type="button" onClick=${close}>Cancel</button><button class="primary" disabled=${isSending}>${isSending ? "Posting …" : "Post the task"}</button></footer>
      </form>
    <//>`;
}
