// The page: what is on the screen, and how it starts.

import { readSession } from "./api.js";
import { Rail, TopBar } from "./frame.js";
import { listen, overlay } from "./keys.js";
import { Activity } from "./pages/activity.js";
import { Command, LINK_COMMAND } from "./parts.js";
import { PAGES, route } from "./route.js";
import { begin, connection, isPast, isStale, notice, opened, session, tell } from "./store.js";
import { lazy, shown, useSignals } from "./use.js";
import { html, render, useEffect, useErrorBoundary } from "./vendor/htm-preact-standalone.module.js";

const VIEWS = {
  activity: Activity,
  tasks: lazy(() => import("./pages/tasks.js"), "Tasks"),
  agents: lazy(() => import("./pages/agents.js"), "Agents"),
  approvals: lazy(() => import("./pages/approvals.js"), "Approvals"),
  ledger: lazy(() => import("./pages/ledger.js"), "Ledger"),
  router: lazy(() => import("./pages/router.js"), "Router"),
  memory: lazy(() => import("./pages/memory.js"), "Memory"),
  system: lazy(() => import("./pages/system.js"), "System"),
};
const Drawer = lazy(() => import("./drawer.js"), "Drawer");
const Left = lazy(() => import("./left.js"), "Left", shown);
const Help = lazy(() => import("./overlays.js"), "Help");
const Palette = lazy(() => import("./overlays.js"), "Palette");

function Page({ route: { page, id, query } }) {
  const [error, reset] = useErrorBoundary((fault) => console.error(fault));
  useEffect(() => {
    document.title = `${PAGES.find((each) => each.id === page)?.name} · Agora`;
  }, [page]);
  if (error) {
    return html`<div class="trouble" role="alert"><p>This page could not be drawn: ${error.message}. The connection and the data are kept.</p>
      <button onClick=${reset}>Draw it again</button></div>`;
  }
  return html`<${VIEWS[page]} id=${id} query=${query} />`;
}

/** One line for who may only read. */
function ReadOnly() {
  return html`<section class="read-only" aria-label="Rights">Read only. To act, open the link that this prints: <${Command} text=${LINK_COMMAND} /></section>`;
}

function App() {
  const [where, stale, who, said, over, { phase }, event, past] = useSignals(route, isStale, session, notice, overlay, connection, opened, isPast);
  const isReadOnly = who.isKnown && phase !== "connecting" && who.scopes.every((scope) => scope.startsWith("read"));
  return html`
    <div class="frame" data-stale=${stale ? "" : undefined}>
      <button class="skip" onClick=${() => document.getElementById("main")?.focus()}>Skip to the page</button>
      <${Rail} page=${where.page} />
      <div class="side">
        <${TopBar} />
        ${past ? html`<${Left} />` : isReadOnly && html`<${ReadOnly} />`}
        <main id="main" tabindex="-1" class=${`page page-${where.page}`} key=${where.page}><${Page} route=${where} key=${where.page} /></main>
      </div>
      ${event && html`<${Drawer} event=${event} />`}
      ${over === "help" && html`<${Help} />`}
      ${over === "palette" && html`<${Palette} />`}
      <div class="notice-frame" role="status">${said && html`<p class="notice" data-error=${said.isError ? "" : undefined}>${said.text}</p>`}</div>
    </div>`;
}

/** A one-use link carries its code in the fragment, which never leaves the browser; it is removed before anything else. */
async function enter() {
  const code = /^#token=(.+)$/.exec(location.hash)?.[1];
  if (!code) return readSession();
  history.replaceState(null, "", "/");
  return (await import("./link.js")).enter(decodeURIComponent(code));
}

listen();
render(html`<${App} />`, document.getElementById("app"));
begin();
const begun = () => enter().catch((error) => tell(`The session could not be read: ${error.message}`, true));
addEventListener("hashchange", () => location.hash.startsWith("#token=") && begun()); // the link may be opened where the page is open already
begun();
