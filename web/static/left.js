// What is said where nothing runs: that the pages show what a society has left, and until when.

import { state } from "./store.js";
import { moment } from "./times.js";
import { useSignal } from "./use.js";
import { html } from "./vendor/htm-preact-standalone.module.js";

export function Left() {
  const { last_us, position } = useSignal(state);
  const until = last_us ? html` It ends <b>${moment(last_us / 1000)}</b>, at position <span class="id">${position}</span>.` : "";
  return html`<section class="read-only" aria-label="Rights"><span>This is a view of what a society has left.${until} Nothing runs, and nothing can be changed.</span></section>`;
}
