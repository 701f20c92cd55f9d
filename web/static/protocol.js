// A live session with the server, as pure rules: text frames in, texts to send and outputs out. No socket, clock or page.
//
// Rules: hello comes first; then the state and the feed are subscribed, the feed from the last position that was scanned,
// so that a reconnect neither repeats nor skips an event. A batch must begin where the last one ended: what is missing
// is reported as a gap, what is repeated is dropped. A new epoch is another history: everything held is given up.

/** @typedef {{kind: "welcome" | "state" | "events" | "gap" | "reset" | "head" | "lag" | "bye" | "reply" | "refused", [key: string]: any}} Output */

export const FEED_LAST = 200; // what a first visit sees without asking: several screens
const FEED = "feed";
const STATE = "state";

export class Session {
  constructor() {
    this.epoch = 0;
    this.scanned = 0;
    this.isHolding = false; // whether the page shows something of an epoch
    this.nextId = 1;
    /** What is waited for, by id: hello, subscribe, or a request of the page. @type {Map<number, string>} */
    this.waiting = new Map();
    this.state = null;
  }

  /** What to send when a socket opens. @returns {string[]} */
  open() {
    this.waiting.clear();
    const resume = this.epoch ? { resume: { epoch: this.epoch, position: this.scanned } } : {};
    return [this.request("hello", resume, "hello").text];
  }

  /** A request. */
  request(method, params, purpose = "page", idem = undefined) {
    const id = this.nextId++;
    this.waiting.set(id, purpose);
    return { id, text: JSON.stringify({ id, method, params, idem }) };
  }

  /** Give up the history: the next hello is a first visit. */
  forget() {
    this.epoch = 0;
    this.scanned = 0;
    this.state = null;
  }

  /** @returns {{send: string[], outputs: Output[]}} */
  receive(text) {
    const frame = JSON.parse(text);
    if (frame.id !== undefined) return this.#answer(frame);
    switch (frame.t) {
      case "batch":
        return { send: [], outputs: this.#batch(frame) };
      case "state":
        this.state = frame.state;
        return { send: [], outputs: [{ kind: "state", state: this.state }] };
      case "change":
        this.state = merge(this.state, frame.patch);
        return { send: [], outputs: [{ kind: "state", state: this.state }] };
      case "gap":
        return { send: [], outputs: frame.sub === STATE ? [] : [this.#gap(frame.from, frame.to, frame.reason)] };
      case "beat":
        return { send: [], outputs: [{ kind: "head", head: frame.head, now_us: frame.now_us, complaints: frame.complaints }] };
      case "lag":
        return { send: [], outputs: [{ kind: "lag", behind: frame.behind }] };
      case "bye":
        return { send: [], outputs: [{ kind: "bye", reason: frame.reason, retry_ms: frame.retry_ms }] };
      default:
        return { send: [], outputs: [] }; // a newer server may say more than this page knows
    }
  }

  #answer(frame) {
    const purpose = this.waiting.get(frame.id);
    this.waiting.delete(frame.id);
    if (purpose === "page") return { send: [], outputs: [{ kind: "reply", ...frame }] };
    if (frame.error) {
      this.forget();
      return { send: [], outputs: frame.error.code === "stale_epoch" ? [] : [{ kind: "refused", error: frame.error }] };
    }
    return purpose === "hello" ? this.#welcome(frame.result) : { send: [], outputs: [] };
  }

  #welcome(result) {
    const outputs = [];
    if (this.epoch !== result.epoch) {
      this.forget();
      if (this.isHolding) outputs.push({ kind: "reset" });
    }
    this.epoch = result.epoch;
    this.isHolding = true;
    const from = this.scanned ? { position: this.scanned, epoch: this.epoch } : { last: FEED_LAST };
    outputs.push({ kind: "welcome", ...result });
    return {
      send: [
        this.request("subscribe", { sub: STATE, topics: "state" }, "subscribe").text,
        this.request("subscribe", { sub: FEED, topics: ["#"], from }, "subscribe").text,
      ],
      outputs,
    };
  }

  /** @returns {Output[]} */
  #batch(frame) {
    const outputs = /** @type {Output[]} */ ([]);
    if (this.scanned && frame.first > this.scanned + 1) {
      outputs.push(this.#gap(this.scanned + 1, frame.first - 1, "the server did not send them"));
    }
    const events = frame.events.filter((event) => event.position > this.scanned);
    this.scanned = Math.max(this.scanned, frame.last);
    outputs.push({ kind: "events", events, head: frame.last });
    return outputs;
  }

  /** @returns {Output} */
  #gap(from, to, reason) {
    this.scanned = Math.max(this.scanned, to);
    return { kind: "gap", from, to, reason };
  }
}

/** RFC 7396, without touching the target: what did not change keeps its identity. */
export function merge(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}
