// How many proposals wait for a person: read again whenever one has moved.

import { read } from "./api.js";
import { number } from "./format.js";
import { proposed } from "./store.js";
import { useSignal } from "./use.js";
import { html, useEffect, useState } from "./vendor/htm-preact-standalone.module.js";

/** The count, or nothing when nothing waits. */
export function Pending() {
  const turn = useSignal(proposed);
  const [count, set] = useState(0);
  useEffect(() => {
    let isWanted = turn > 0; // before the first word of the server there is nobody to ask
    if (isWanted) {
      read("/api/approvals?state=ready&limit=1").then(
        (page) => isWanted && set(page.pending),
        () => {}, // the page says by itself when the server is gone
      );
    }
    return () => void (isWanted = false);
  }, [turn]);
  return count ? html`<span class="badge" title=${`${number(count)} waiting for a decision`}>${number(count)}</span>` : null;
}
