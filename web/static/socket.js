// The shell of a live session: one WebSocket at a time, opened again with growing patience, watched for silence.

import { Session } from "./protocol.js";

const SILENCE_MS = 12_000; // the server beats every 5 s: two missed beats are a lost connection
const PING_MS = 5_000;
const ANSWER_MS = 15_000;
const PATIENCE_MIN_MS = 250;
const PATIENCE_MAX_MS = 8_000;
const STALE_EPOCH = 4409;

/** An answer that says no, or that never came. */
export class CommandError extends Error {
  constructor(code, message, retryable) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

export class Live {
  /** @param {{output: (output: any) => void, phase: (phase: any) => void}} listener */
  constructor(listener) {
    this.listener = listener;
    this.session = new Session();
    this.patience = PATIENCE_MIN_MS;
    this.socket = null;
    /** By id, what settles each and its deadline's timer. */
    this.requests = new Map();
    this.retry_ms = 0;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  open() {
    clearTimeout(this.retryTimer);
    const address = new URL("/ws", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, "agora.v1");
    this.socket = socket;
    this.#listen();
    socket.onopen = () => this.session.open().forEach((text) => socket.send(text));
    socket.onmessage = (event) => this.socket === socket && this.#receive(event.data);
    socket.onclose = (event) => this.socket === socket && this.#lost(event);
  }

  /** Say hello again, as when the session's rights have changed. */
  reopen() {
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
    this.#settle();
    this.open();
  }

  /** A command or query; resolves with its result. The same key twice is carried out once. @returns {Promise<any>} */
  ask(method, params = {}, idem = undefined) {
    if (this.socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new CommandError("not_connected", "The server cannot be reached; nothing was sent.", true));
    }
    const { id, text } = this.session.request(method, params, "page", idem);
    this.socket.send(text);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(id, "deadline_passed", "No answer in time; it may have been carried out. Trying again is safe."), ANSWER_MS);
      this.requests.set(id, { resolve, reject, timer });
    });
  }

  #receive(text) {
    this.#listen();
    const { send, outputs } = this.session.receive(text);
    send.forEach((frame) => this.socket?.send(frame));
    for (const output of outputs) {
      if (output.kind === "reply") this.#reply(output);
      else if (output.kind === "refused") this.socket?.close(1000);
      else if (output.kind === "bye") this.retry_ms = output.retry_ms ?? 0;
      else if (output.kind === "welcome") this.#welcome();
      if (output.kind !== "reply") this.listener.output(output);
    }
  }

  #welcome() {
    this.patience = PATIENCE_MIN_MS;
    this.listener.phase({ phase: "live" });
    clearInterval(this.pingTimer);
    this.pingTimer = setInterval(() => this.#ping(), PING_MS);
    this.#ping();
  }

  /** The way there and back; a refusal measures it as well as an answer. */
  async #ping() {
    const start = performance.now();
    await this.ask("ping").catch(() => undefined);
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.listener.output({ kind: "lag_ms", lag_ms: performance.now() - start });
    }
  }

  #reply(frame) {
    const request = this.requests.get(frame.id);
    if (!request) return;
    if (frame.error) return this.#fail(frame.id, frame.error.code, frame.error.message, frame.error.data?.retryable ?? false);
    clearTimeout(request.timer);
    this.requests.delete(frame.id);
    request.resolve(frame.result);
  }

  #fail(id, code, message, retryable = true) {
    const request = this.requests.get(id);
    if (!request) return;
    clearTimeout(request.timer);
    this.requests.delete(id);
    request.reject(new CommandError(code, message, retryable));
  }

  #settle() {
    clearInterval(this.pingTimer);
    clearTimeout(this.silenceTimer);
    const message = "The connection was lost before the answer; it may have been carried out. Trying again is safe.";
    [...this.requests.keys()].forEach((id) => this.#fail(id, "connection_lost", message));
  }

  #lost(event) {
    this.#settle();
    this.socket = null;
    if (event.code === STALE_EPOCH) this.session.forget();
    const wait = this.retry_ms || this.patience * (0.75 + Math.random() / 2);
    this.retry_ms = 0;
    this.patience = Math.min(this.patience * 2, PATIENCE_MAX_MS);
    this.listener.phase({ phase: "lost", reason: event.reason || "", retry_at: Date.now() + wait });
    this.retryTimer = setTimeout(() => this.open(), wait);
  }

  #hurry() {
    if (!this.socket) this.open();
  }

  #listen() {
    clearTimeout(this.silenceTimer);
    const socket = this.socket;
    this.silenceTimer = setTimeout(() => {
      socket?.close(4000, "silence");
      if (this.socket === socket) this.#lost({ code: 4000, reason: "the server fell silent" });
    }, SILENCE_MS);
  }
}
