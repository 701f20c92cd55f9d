// Memory: what agents and people remember, by whom, for whom and since when; one fact with all that it has replaced.

import { read, send } from "../api.js";
import { Ago, Choice, Dialog, Facts as Pairs, useLoad, useMay } from "../details.js";
import { plural } from "../format.js";
import { Copy, Empty, Icon, Trouble } from "../parts.js";
import { address, go, setQuery } from "../route.js";
import { now_ms, session, tell } from "../store.js";
import { moment } from "../times.js";
import { useSignals } from "../use.js";
import { html, useEffect, useRef, useState } from "../vendor/htm-preact-standalone.module.js";
import { FactList, readers, span, speaker, validity } from "./factlist.js";
import { Facts, standing } from "./facts.js";
import { useHeard } from "./invoices.js";

const WORDS_WAIT_MS = 200; // between the last letter and the search
const EXAMPLE = 'python -m actors.main memory remember "spare key" "It hangs behind the clock."';
const STANDINGS = { valid: "valid now", later: "valid later", over: "no longer valid", superseded: "corrected", ended: "ended" };

/** A moment as the browser's own field has it, in this place's time, and back. */
const local = (at) => (at ? new Date(Date.parse(at) - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "");
const exact = (text) => (text ? new Date(text).toISOString() : "");

function Speaker({ who }) {
  return who.startsWith("agents/") ? html`<a href=${address("agents", speaker(who))}>${speaker(who)}</a>` : html`<span>${who}</span>`;
}

/** A form in a dialog that asks the server for a change, and says what it says. */
function Ask({ title, close, path, body, done, verb, isDanger = false, children }) {
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  const ask = async (event) => {
    event.preventDefault();
    setSending(true);
    try {
      done(await send("POST", path, body));
    } catch (problem) {
      setError(problem.message);
      setSending(false);
    }
  };
  return html`
    <${Dialog} title=${title} close=${close} name="post"><form onSubmit=${ask}>
      ${children}
      ${error && html`<p class="trouble" role="alert">${error}</p>`}
      <footer><button type="button" onClick=${close}>Cancel</button><button class=${isDanger ? "danger" : "primary"} disabled=${isSending}>${verb}</button></footer>
    </form><//>`;
}

function Remember({ close }) {
  const [wish, setWish] = useState({ subject: "", text: "", audience: "everyone", readers: "" });
  const set = (name) => (event) => setWish({ ...wish, [name]: event.target.value });
  const names = wish.readers.split(/[\s,]+/).filter(Boolean);
  const done = (made) => {
    close();
    go(address("memory", made.fact));
  };
  return html`
    <${Ask} title="Remember a fact" close=${close} path="/api/memory" verb="Remember" done=${done}
      body=${{ ...wish, readers: wish.audience === "named" ? names : [] }}>
      <label>About what<input name="subject" type="text" maxlength="120" required value=${wish.subject} onInput=${set("subject")} autocomplete="off" autofocus /></label>
      <label>What is so<textarea name="text" rows="4" maxlength="2000" required value=${wish.text} onInput=${set("text")}></textarea></label>
      <label>For<select name="audience" value=${wish.audience} onChange=${set("audience")}>
        <option value="everyone">everyone</option><option value="named">those I name</option><option value="owner">me only</option></select></label>
      ${wish.audience === "named" && html`<label>Their names, such as agents/scout<input name="readers" type="text" required value=${wish.readers} onInput=${set("readers")} autocomplete="off" /></label>`}
    <//>`;
}

function Correct({ fact, close, done }) {
  const [text, setText] = useState(fact.text);
  const [reason, setReason] = useState("");
  return html`
    <${Ask} title=${`Correct “${fact.subject}”`} close=${close} path=${`/api/memory/${fact.fact}/correct`} body=${{ text, reason }} verb="Correct it" done=${done}>
      <p class="faint">What stands now is kept, and is shown below what you say.</p>
      <label>What is so instead<textarea name="text" rows="5" maxlength="2000" required value=${text} onInput=${(event) => setText(event.target.value)} autofocus></textarea></label>
      <label>Why<input name="reason" type="text" maxlength="300" required value=${reason} onInput=${(event) => setReason(event.target.value)} autocomplete="off" /></label>
    <//>`;
}

function End({ fact, close, done }) {
  const [reason, setReason] = useState("");
  return html`
    <${Ask} title=${`End “${fact.subject}”?`} close=${close} path=${`/api/memory/${fact.fact}/end`} body=${{ reason }} verb="End it" isDanger done=${done}>
      <p>It is no longer so from now on, and nothing takes its place. It is kept, with the reason, and nobody recalls it any more.</p>
      <label>Why<input name="reason" type="text" maxlength="300" required value=${reason} onInput=${(event) => setReason(event.target.value)} autocomplete="off" autofocus /></label>
    <//>`;
}

/** One version in the history of a fact; a line between two says why. */
const Version = ({ version, now, isShown }) => html`
  <li data-standing=${standing(version, now)} aria-current=${isShown ? "true" : undefined}>
    <p class="version-head"><a href=${address("memory", version.fact)} class="id">${version.fact}</a><span title=${span(version)}>${validity(version, now)}</span></p>
    <p class="text">${version.text}</p>
    <p class="faint">${speaker(version.by)}${version.reason ? `: ${version.reason}` : ""}</p>
  </li>`;

function Fact({ id, query }) {
  const heard = useHeard("memory.");
  const [now, who] = useSignals(now_ms, session);
  const mayAct = useMay("agent");
  const isOperator = useMay("admin");
  const [asking, setAsking] = useState("");
  const { value, error, again } = useLoad(() => read(`/api/memory/${encodeURIComponent(id)}`), [id, heard]);
  const back = html`<a class="back" href=${`${address("memory")}${query.size ? `?${query}` : ""}`}><${Icon} name="back" />All facts</a>`;
  if (error && !value) return html`<article class="fact-detail">${back}<${Trouble} error=${error} retry=${again} /></article>`;
  const versions = value?.versions ?? [];
  const fact = versions.find((each) => each.fact === id);
  if (!fact) return html`<article class="fact-detail">${back}<p class="faint">Reading …</p></article>`;
  const isNewest = !fact.superseded_by && !fact.is_ended;
  const mayChange = mayAct && isNewest && (isOperator || who.principal === fact.owner);
  const close = () => setAsking("");
  const corrected = (made) => {
    close();
    tell(`${fact.fact} is corrected by ${made.fact}.`);
    go(address("memory", made.fact));
  };
  const ended = () => {
    close();
    tell(`${fact.fact} has ended.`);
    again();
  };
  return html`
    <article class="fact-detail" aria-labelledby="fact-subject">
      ${back}
      <header><h2 id="fact-subject">${fact.subject}</h2><span class="badge" data-standing=${standing(fact, now)}>${STANDINGS[standing(fact, now)]}</span></header>
      <p class="text">${fact.text}</p>
      ${fact.superseded_by && html`<p class="callout">It was corrected: <a href=${address("memory", versions[0].fact)}>${versions[0].fact}</a> stands in its place.</p>`}
      ${fact.is_ended && html`<p class="callout">It has ended${fact.reason ? `: ${fact.reason}` : ""}.</p>`}
      <${Pairs} facts=${[
        ["said by", html`<${Speaker} who=${fact.by} />`],
        ["owner", fact.owner === fact.by ? undefined : html`<${Speaker} who=${fact.owner} />`],
        ["for", readers(fact)],
        ["valid from", moment(fact.valid_from_us / 1000)],
        ["valid to", fact.valid_to_us ? moment(fact.valid_to_us / 1000) : undefined],
        ["remembered", html`<${Ago} us=${fact.recorded_us} />`],
        ["learned from", fact.task ? html`<a href=${address("tasks", fact.task)}>${fact.task}</a>` : undefined],
        ["id", html`<code>${fact.fact}</code><${Copy} text=${fact.fact} label="Copy id" />`],
      ]} />
      ${mayChange && html`<p class="fact-hands"><button onClick=${() => setAsking("correct")}>Correct</button><button class="danger-quiet" onClick=${() => setAsking("end")}>End</button></p>`}
      <h3>${versions.length > 1 ? `${plural(versions.length, "version")}, the newest first` : "Nothing was said of it before"}</h3>
      ${versions.length > 1 && html`<ol class="versions">${versions.map((each) => html`<${Version} key=${each.fact} version=${each} now=${now} isShown=${each.fact === id} />`)}</ol>`}
      ${asking === "correct" && html`<${Correct} fact=${fact} close=${close} done=${corrected} />`}
      ${asking === "end" && html`<${End} fact=${fact} close=${close} done=${ended} />`}
    </article>`;
}

/** What the list says when it has nothing to show. */
function Nothing({ facts, wish }) {
  if (wish.q) return html`<${Empty}>Nothing that you may read has these words. Words are found as they are written.<//>`;
  if (wish.at) return html`<${Empty}>Nothing that you may read was valid then.<//>`;
  if (facts.held) return html`<${Empty}>Nothing is valid now. “All” also shows what has ended and what begins later.<//>`;
  return html`<${Empty} command=${EXAMPLE}>What agents and people remember appears here: who said it, for whom it is, and since when it is so.<//>`;
}

function Table({ wish, shown }) {
  const element = useRef(/** @type {any} */ (null));
  const list = useRef(/** @type {FactList | null} */ (null));
  const [, redraw] = useState(0);
  const [now] = useSignals(now_ms);
  const heard = useHeard("memory.");
  const facts = useRef(/** @type {Facts | null} */ (null));
  const failed = (error) => tell(`The versions could not be read: ${error.message}`, true);
  useEffect(() => {
    const mine = new Facts(wish, () => redraw((count) => count + 1));
    facts.current = mine;
    list.current = new FactList(element.current, mine, failed);
    return () => {
      mine.close();
      list.current?.close();
    };
  }, [wish.q, wish.which, wish.at]);
  useEffect(() => void facts.current?.refresh(), [wish.q, wish.which, wish.at, heard]);
  useEffect(() => list.current?.update(shown));
  const have = facts.current;
  const count = have?.rows.length ?? 0;
  const words = !have?.isRead || !count ? "" : wish.q ? "the best first" : plural(have.next ? have.held : have.heads.length, "fact");
  return html`
    <section class="remembered" aria-label="Facts" data-now=${Math.floor(now / 60_000)}>
      ${have?.error && html`<${Trouble} error=${new Error(`The memory could not be read: ${have.error.message}.${count ? " What is shown is what was read before." : ""}`)} retry=${() => have.refresh()} />`}
      <div class="facts-frame" data-empty=${count ? undefined : ""}>
        <div class="fact-heads" aria-hidden="true"><span>Fact</span><span>Said by</span><span>For</span><span>Valid</span><span>${words}</span></div>
        <div ref=${element} class="fact-rows" role="table" tabindex="0" aria-label="Facts, with who said them, for whom, and since when"></div>
        ${have?.isRead && !count && !have.error && html`<${Nothing} facts=${have} wish=${wish} />`}
        ${!have?.isRead && !have?.error && html`<p class="faint pad">Reading …</p>`}
      </div>
      <p class="unseen" role="status">${words}</p>
    </section>`;
}

export function Memory({ id, query }) {
  const mayAct = useMay("agent");
  const [isNew, setNew] = useState(false);
  const wish = { q: query.get("q") ?? "", which: query.get("which") === "all" ? "all" : "valid", at: query.get("at") ?? "" };
  const [words, setWords] = useState(wish.q);
  useEffect(() => {
    const timer = setTimeout(() => setQuery({ q: words.trim() }), WORDS_WAIT_MS);
    return () => clearTimeout(timer);
  }, [words]);
  return html`
    <header class="page-head">
      <h1>Memory</h1>
      <input class="search" type="search" data-search placeholder="Words to recall  ( / )" aria-label="Words to recall" value=${words} onInput=${(event) => setWords(event.target.value)} spellcheck=${false} autocomplete="off" />
      ${!wish.q && html`<${Choice} label="Which facts" value=${wish.which} options=${[["valid", wish.at ? "Valid then" : "Valid now"], ["all", "All"]]} choose=${(which) => setQuery({ which: which === "all" ? "all" : "" })} />`}
      <label class="as-of">as of<input type="datetime-local" value=${local(wish.at)} onChange=${(event) => setQuery({ at: exact(event.target.value) })} /></label>
      ${wish.at && html`<button class="quiet" onClick=${() => setQuery({ at: "" })}>Now</button>`}
      ${mayAct && html`<button class="primary" onClick=${() => setNew(true)}><${Icon} name="plus" />Remember</button>`}
    </header>
    <div class="memory" data-detail=${id ? "" : undefined}>
      <${Table} wish=${wish} shown=${id} />
      ${id && html`<${Fact} id=${id} query=${query} key=${id} />`}
    </div>
    ${isNew && html`<${Remember} close=${() => setNew(false)} />`}`;
}
