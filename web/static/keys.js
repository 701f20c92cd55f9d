// Everything by keyboard.

import { current } from "./eventlist.js";
import { address, go, PAGES, route, setQuery } from "./route.js";
import { may, opened } from "./store.js";
import { signal } from "./vendor/signals-core.module.js";

const CHORD_MS = 1_500; // how long `g` waits for its letter

/** What lies over the page. */
export const overlay = signal(/** @type {"" | "help" | "palette"} */ (""));

const isTyping = (target) => target instanceof HTMLElement && (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable);

/** Step through whatever the page lists: the feed, or rows marked as items. */
function step(by) {
  if (current) return current.move(by);
  const items = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main [data-item]")]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement?.closest("[data-item]")));
  items[Math.max(0, Math.min(items.length - 1, at + by))]?.focus();
}

/** @type {Record<string, () => void>} */
const KEYS = {
  "/": () => /** @type {HTMLElement | null} */ (document.querySelector("[data-search]"))?.focus(),
  j: () => step(1),
  k: () => step(-1),
  p: () => current?.pause(!current.isPaused),
  l: () => setQuery({ at: "" }),
  "?": () => (overlay.value = "help"),
  n: () => may("task") && go("#/tasks?new=1"),
  Enter: () => current && current.selected > 0 && (opened.value = current.event(current.selected) ?? opened.value),
};

function escape() {
  if (overlay.peek()) overlay.value = "";
  else if (opened.peek()) opened.value = null;
  else if (isTyping(document.activeElement)) /** @type {HTMLElement} */ (document.activeElement).blur();
  else if (route.peek().id) go(address(route.peek().page));
}

export function listen() {
  let chord = 0;
  // What lies over a page goes with it: on a phone it would hide where the reader went.
  addEventListener("hashchange", () => {
    overlay.value = "";
    opened.value = null;
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      overlay.value = overlay.peek() === "palette" ? "" : "palette";
      return;
    }
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) return escape();
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || overlay.peek() || document.querySelector("dialog[open]")) return;
    if (chord && Date.now() - chord < CHORD_MS) {
      chord = 0;
      const page = PAGES.find((each) => each.key === event.key);
      if (page) return go(address(page.id));
    }
    if (event.key === "g") chord = Date.now();
    const act = KEYS[event.key];
    if (!act || (event.key === "Enter" && /** @type {HTMLElement} */ (event.target).closest("a, button, [role=listbox]"))) return;
    event.preventDefault();
    act();
  });
}
