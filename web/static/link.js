// Trading the code of a one-use link for a session, with which the page may act.

import { call, readSession } from "./api.js";
import { live, tell } from "./store.js";

/** @param {string} code */
export async function enter(code) {
  try {
    await call("/api/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ link: code }),
    });
    tell("You can act now.");
    live.reopen();
  } catch (error) {
    tell(`The link was not accepted: ${error.message}. Links work once; print a new one.`, true);
  }
  await readSession();
}
