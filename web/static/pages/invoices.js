// Invoices: money from outside. What waits to be paid, with its code to scan; what was paid, with the proof.

import { read, send } from "../api.js";
import { Ago, Dialog, Facts, Money, useLoad, useMay } from "../details.js";
import { duration, number } from "../format.js";
import { Copy, Panel, State, Trouble } from "../parts.js";
import { arrived, feed, now_ms, tell } from "../store.js";
import { useSignals } from "../use.js";
import { html, useRef, useState } from "../vendor/htm-preact-standalone.module.js";

const AMOUNT_MSAT = 100_000;

/** Rises with the events of a subject, at most once a second, so that what was read is read again. @param {string} prefix */
export function useHeard(prefix) {
  const [, now] = useSignals(arrived, now_ms);
  const own = useRef({ seen: 0, count: 0, told: 0, at: 0 });
  for (const event of feed.after(own.current.seen)) {
    own.current.seen = event.position;
    if (event.type.startsWith(prefix)) own.current.count++;
  }
  const { count, told, at } = own.current;
  if (count !== told && now - at >= 1000) Object.assign(own.current, { told: count, at: now });
  return own.current.told;
}

/** Said wherever a simulated invoice is shown. */
const Simulated = () => html`<span class="badge" title="Nobody can pay it and it brings no real money; it settles when told">simulated</span>`;

function Left({ expires_us }) {
  const [now] = useSignals(now_ms);
  const left = expires_us / 1e6 - now / 1000;
  return html`<span>${left > 0 ? `${duration(left)} left` : "time is over"}</span>`;
}

function Create({ page, close, done }) {
  const [wish, setWish] = useState({ amount_msat: AMOUNT_MSAT, account: "treasury", description: "" });
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  const set = (name) => (event) => setWish({ ...wish, [name]: event.target.value });
  const create = async (event) => {
    event.preventDefault();
    setSending(true);
    try {
      done(await send("POST", "/api/ledger/invoices", { ...wish, amount_msat: Number(wish.amount_msat) }));
    } catch (problem) {
      setError(problem.message);
      setSending(false);
    }
  };
  return html`
    <${Dialog} title="New invoice" close=${close} name="post">
      <form onSubmit=${create}>
        ${page.is_simulated && html`<p><${Simulated} /> No Lightning node is configured: nobody can pay this invoice, and it settles when you say so.</p>`}
        <div class="fields">
          <label>Amount, in msat<input name="amount" type="number" min="1" step="1" required value=${wish.amount_msat} onInput=${set("amount_msat")} autofocus /></label>
          <label>For<input name="account" type="text" required value=${wish.account} onInput=${set("account")} autocomplete="off" /></label>
        </div>
        <label>What for<input name="description" type="text" maxlength="200" value=${wish.description} onInput=${set("description")} autocomplete="off" /></label>
        ${error && html`<p class="trouble" role="alert">${error}</p>`}
        <footer><button type="button" onClick=${close}>Cancel</button><button class="primary" disabled=${isSending}>${isSending ? "Asking …" : "Make the invoice"}</button></footer>
      </form>
    <//>`;
}

function Invoice({ invoice, close }) {
  const mayAct = useMay("ledger");
  const [error, setError] = useState("");
  const settle = async () => {
    try {
      await send("POST", `/api/ledger/invoices/${encodeURIComponent(invoice.invoice)}/settle`, {});
      tell(`${invoice.invoice} is settled; it was simulated.`);
    } catch (problem) {
      setError(problem.message);
    }
  };
  const isOpen = invoice.state === "pending";
  return html`
    <${Dialog} title=${`Invoice ${invoice.invoice}`} close=${close} name="invoice">
      ${isOpen && invoice.request && html`<img class="code" src=${`/api/ledger/invoices/${encodeURIComponent(invoice.invoice)}/qr`} width="240" height="240" alt="QR code of the invoice" />`}
      <${Facts} facts=${[
        ["state", html`<span class="inline">${invoice.is_simulated && html`<${Simulated} />`}<${State} state=${invoice.state} /></span>`],
        ["amount", html`<${Money} amount=${invoice.amount_msat} />`],
        ["came", invoice.received_msat ? html`<${Money} amount=${invoice.received_msat} />` : undefined],
        ["for", invoice.account], ["what for", invoice.description], ["over", invoice.backend],
        ["made", html`<${Ago} us=${invoice.created_us} />`],
        ["may be paid", isOpen && invoice.expires_us ? html`<${Left} expires_us=${invoice.expires_us} />` : undefined],
        ["because", invoice.reason],
        ["payment hash", invoice.payment_hash && html`<code>${invoice.payment_hash.slice(0, 16)}…</code><${Copy} text=${invoice.payment_hash} label="Copy payment hash" />`],
        ["proof", invoice.preimage && html`<code>${invoice.preimage.slice(0, 16)}…</code><${Copy} text=${invoice.preimage} label="Copy preimage" />`],
      ]} />
      ${isOpen && invoice.request && html`<p class="request"><code>${invoice.request}</code><${Copy} text=${invoice.request} label="Copy invoice" /></p>`}
      ${error && html`<p class="trouble" role="alert">${error}</p>`}
      <footer>${isOpen && invoice.is_simulated && mayAct && html`<button class="primary" onClick=${settle}>Settle it (simulated)</button>`}<button onClick=${close}>Close</button></footer>
    <//>`;
}

export function Invoices() {
  const heard = useHeard("invoice.");
  const mayAct = useMay("ledger");
  const [isCreating, setCreating] = useState(false);
  const [shown, setShown] = useState("");
  const { value: page, error, again } = useLoad(() => read("/api/ledger/invoices?limit=50"), [heard]);
  const opened = page?.invoices.find((each) => each.invoice === shown);
  const aside = html`${page?.is_simulated && html`<${Simulated} />`}${mayAct && page && html`<button onClick=${() => setCreating(true)}>New invoice</button>`}`;
  return html`
    <${Panel} title="Invoices" name="invoices" aside=${aside}>
      ${error && !page && html`<${Trouble} error=${error} retry=${again} />`}
      ${page && !page.invoices.length && html`<p class="pad faint">${page.is_simulated
        ? "Invoices bring money from outside. Without a Lightning node they are simulated: nobody can pay them, and they settle when told."
        : `Invoices over ${page.backend} appear here: what waits to be paid, and what came.`}</p>`}
      ${page?.invoices.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Invoices"><table>
        <thead><tr><th>Invoice</th><th>State</th><th class="figure">Amount</th><th>For</th><th>What for</th><th>Over</th><th>Made</th></tr></thead>
        <tbody>${page.invoices.map((each) => html`
          <tr key=${each.invoice}>
            <td><button class="link" data-item onClick=${() => setShown(each.invoice)}>${each.invoice}</button></td>
            <td><${State} state=${each.state} />${each.state === "pending" && each.expires_us ? html` <span class="faint"><${Left} expires_us=${each.expires_us} /></span>` : ""}</td>
            <td class="figure">${number(each.received_msat || each.amount_msat)} msat</td>
            <td>${each.account}</td><td class="wide">${each.description || html`<span class="faint">–</span>`}</td>
            <td>${each.is_simulated ? html`<${Simulated} />` : each.backend}</td><td><${Ago} us=${each.created_us} /></td>
          </tr>`)}</tbody>
      </table></div>`}
    <//>
    ${isCreating && html`<${Create} page=${page} close=${() => setCreating(false)} done=${(made) => { setCreating(false); setShown(made.invoice); again(); }} />`}
    ${opened && html`<${Invoice} invoice=${opened} close=${() => setShown("")} />`}`;
}
