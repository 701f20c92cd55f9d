// Parts of the page that are fetched when they are first wanted, so that the first one is there at once.

import { Trouble } from "./parts.js";
import { html, useEffect, useState } from "./vendor/htm-preact-standalone.module.js";

/** The style sheet of all that comes later. @type {Promise<void> | undefined} */
let sheet;

function styles() {
  sheet ??= new Promise((resolve, reject) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/pages.css" });
    link.onload = () => resolve();
    link.onerror = () => {
      sheet = undefined;
      link.remove();
      reject(new Error("a style sheet could not be fetched"));
    };
    document.head.append(link);
  });
  return sheet;
}

/**
 * A component that stands in for one of a module that is yet to come.
 * @param {() => Promise<any>} load @param {string} name what the module exports
 */
export function lazy(load, name) {
  let found;
  return function Lazy(props) {
    const [error, setError] = useState(/** @type {Error | undefined} */ (undefined));
    const [, redraw] = useState(0);
    const fetchIt = () => {
      setError(undefined);
      Promise.all([load(), styles()]).then(([module]) => {
        found = module[name];
        redraw((count) => count + 1);
      }, setError);
    };
    useEffect(() => void (found || fetchIt()), []);
    if (found) return html`<${found} ...${props} />`;
    return error ? html`<${Trouble} error=${new Error(`This part of the page could not be fetched: ${error.message}`)} retry=${fetchIt} />` : null;
  };
}
