// Ledger: every account's money, the part that is promised, and whether it all sums to zero.

import { read } from "../api.js";
import { Events } from "../eventlist.js";
import { money, number, plural } from "../format.js";
import { Money, useLoad } from "../details.js";
import { Empty, Panel } from "../parts.js";
import { address } from "../route.js";
import { balances, state } from "../store.js";
import { useSignals } from "../use.js";
import { Invoices, useHeard } from "./invoices.js";
import { html, useMemo } from "../vendor/htm-preact-standalone.module.js";

/** Net sums per currency: double entry holds exactly when each is zero. */
function sums(list) {
  const found = /** @type {Map<string, number>} */ (new Map());
  for (const { currency, net } of list) found.set(currency, (found.get(currency) ?? 0) + net);
  return [...found];
}

function Proof({ list, position }) {
  const wrong = sums(list).filter(([, sum]) => sum !== 0);
  return html`
    <p class="proof" data-broken=${wrong.length ? "" : undefined} role="status"><i aria-hidden="true"></i>
      ${wrong.length
        ? `The nets do not sum to zero: ${wrong.map(([currency, sum]) => money(sum, currency)).join(", ")}`
        : `All postings sum to zero at position ${number(position)}`}
      <span class="faint">${plural(list.length, "account")} in ${sums(list).map(([currency]) => (currency === "usd_micros" ? "dollars" : currency)).join(" and ")}</span></p>`;
}

/** What an account has, and hatched in it what is promised to others. */
function Bar({ balance, most }) {
  if (balance.net <= 0) return html`<span class="faint">${balance.net < 0 ? "where the money comes from" : ""}</span>`;
  const scale = (amount) => ({ width: `${Math.max(amount > 0 ? 2 : 0, (100 * amount) / most)}%` });
  return html`<span class="bar" title=${`${money(balance.available, balance.currency)} available, ${money(balance.held_out, balance.currency)} held`}>
    <i class="paid" style=${scale(balance.net - balance.held_out)}></i><i class="held" style=${scale(balance.held_out)}></i></span>`;
}

const UNLIMITED = 2 ** 53; // what the ledger says of an account without a limit
const ORDER = ["genesis", "treasury", "escrow"];
const rank = ({ account }) => (ORDER.includes(account) ? ORDER.indexOf(account) : account.startsWith("agents/") ? 3 : 4);

function Account({ account }) {
  const [kind, id] = account.split("/", 2);
  const name = id ? html`${kind}/<wbr />${id}` : account; // a narrow table breaks it there
  return kind === "agents" && id ? html`<a href=${address("agents", id)}>${name}</a>` : name;
}

/** What is promised and not yet paid, newest first. */
function Holds() {
  const heard = useHeard("transfer.");
  const { value } = useLoad(() => read("/api/ledger/holds?limit=20"), [heard]);
  if (!value?.holds.length) return html`<p class="pad faint">${value ? "No money is held: nothing is under way." : "Reading …"}</p>`;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="Holds"><table>
      <thead><tr><th>Hold</th><th>Of</th><th>For</th><th class="figure">Amount</th><th>Why</th></tr></thead>
      <tbody>${value.holds.map((each) => html`
        <tr key=${each.transfer}>
          <td class="id">${each.transfer.startsWith("hold/") ? html`<a href=${address("tasks", each.transfer.slice(5))}>${each.transfer}</a>` : each.transfer}</td>
          <td><${Account} account=${each.debit} /></td><td><${Account} account=${each.credit} /></td>
          <td class="figure"><${Money} amount=${each.amount} currency=${each.currency} /></td><td class="wide">${each.reason}</td>
        </tr>`)}</tbody>
    </table></div>
    ${value.total > value.holds.length && html`<p class="foot">The newest ${number(value.holds.length)} of ${number(value.total)} are shown.</p>`}`;
}

/** The same as files, for a spreadsheet or a program. */
const Files = () => html`<span class="files">${[["balances", "/api/ledger/balances"], ["days", "/api/ledger/days"], ["transfers", "/api/ledger/export"]].map(([name, path]) => html`
  <a key=${name} href=${path} download title=${`All ${name} as CSV`}>${name}.csv</a>`)}</span>`;

export function Ledger() {
  const [items, whole] = useSignals(balances, state);
  const tokens = useMemo(() => [{ key: "type", value: "transfer.*" }], []);
  const list = Object.values(items).sort((a, b) => a.currency.localeCompare(b.currency) || rank(a) - rank(b) || a.account.localeCompare(b.account));
  if (!list.length) {
    return html`<header class="page-head"><h1>Ledger</h1></header>
      <${Empty} command="python -m actors.main status">Balances appear here with the first transfer.<//>`;
  }
  const kind = ({ account, currency }) => `${account.split("/", 1)[0]} ${currency}`;
  const most = (one) => Math.max(1, ...list.filter((each) => kind(each) === kind(one)).map((each) => each.net)); // beside its like: the treasury would hide all others
  return html`
    <header class="page-head"><h1>Ledger</h1><${Proof} list=${list} position=${whole.balances.position ?? whole.position} /></header>
    <div class="ledger">
      <${Panel} title="Balances" aside=${html`<span class="key"><i class="paid"></i>free <i class="held"></i>held</span>`}>
        <div class="scroll" tabindex="0" role="region" aria-label="Balances"><table>
          <thead><tr><th>Account</th><th class="bar-cell">Beside its like</th><th class="figure">In</th><th class="figure">Out</th><th class="figure">Fees</th><th class="figure">Net</th><th class="figure">Held</th><th class="figure">Available</th></tr></thead>
          <tbody>${list.map((each) => html`
            <tr key=${`${each.account}/${each.currency}`}>
              <td><${Account} account=${each.account} /></td><td class="bar-cell"><${Bar} balance=${each} most=${most(each)} /></td>
              ${[each.incoming, each.outgoing, each.fees].map((amount) => html`<td class="figure">${amount ? money(amount, each.currency).replace(/ [a-z]+$/, "") : html`<span class="faint">–</span>`}</td>`)}
              <td class="figure"><${Money} amount=${each.net} currency=${each.currency} /></td>
              <td class="figure">${each.held_out ? html`<${Money} amount=${each.held_out} currency=${each.currency} />` : html`<span class="faint">–</span>`}</td>
              <td class="figure">${each.available >= UNLIMITED ? html`<span class="faint">without limit</span>` : html`<${Money} amount=${each.available} currency=${each.currency} />`}</td>
            </tr>`)}</tbody>
        </table></div>
      <//>
      <${Invoices} />
      <${Panel} title="Holds"><${Holds} /><//>
      <${Panel} title="Transfers" name="own-feed" aside=${html`<${Files} />`}><${Events} tokens=${tokens} label="Transfers, newest first" /><//>
    </div>`;
}
