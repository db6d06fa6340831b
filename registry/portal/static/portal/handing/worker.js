// The worker: orders, bundles, hashes and sends, so that the page stays answerable. It knows names only as keys of its own order, and sends none.

import { numbered, pieces } from "./order.js";
import { Sender, unlike } from "./sender.js";
import { Wire, Trouble, hex } from "./wire.js";

const EVERY = 300; // ms between two tellings of progress
let entries = [], order = [], sender = null, last = 0;

function tell(message) {
  if (message.kind === "progress") {
    const now = Date.now();
    if (now - last < EVERY && message.files < (sender?.count ?? 0)) return;
    last = now;
  }
  self.postMessage(message);
}

function told(error) {
  const known = error instanceof Trouble ? error : new Trouble("script", "The page made a mistake.", "Load it again, and choose the folder again.", { stop: true });
  if (known !== error) console.error(error);
  return { code: known.code, reason: known.reason, advice: known.advice, stop: known.stop, errors: known.errors };
}

const acts = {
  // files: [{path, file}]. Answers with numbers and paths, for the page to keep.
  plan({ files }) {
    entries = numbered(files);
    self.postMessage({ kind: "planned", paths: entries.map((one) => one.path), sizes: entries.map((one) => one.size) });
  },

  async send({ upload, root, csrf, said, begin, sure }) {
    order = pieces(entries, new Map(said));
    const wire = new Wire(root, csrf);
    const sum = order.reduce((all, one) => all + one.bytes, 0);
    try {
      if (upload && !sure) {
        const apart = unlike(order, await wire.there(upload));
        if (apart.count) {
          self.postMessage({ kind: "differs", ...apart });
          return;
        }
      }
      if (!upload) {
        upload = (await (await wire.ask("POST", "uploads", { json: { ...begin, count: entries.length, bytes: sum } })).json()).id;
        self.postMessage({ kind: "begun", upload });
      }
      sender = new Sender(wire, upload, order, tell);
      const ended = await sender.run();
      tell({ kind: "progress", ...sender.done, sent: sender.sent });
      self.postMessage({ kind: "complete", upload, state: ended.state });
    } catch (error) {
      self.postMessage({ kind: "stopped", ...told(error) });
    }
  },

  pause() { sender?.pause(); },
  go() { sender?.go(); },

  // Whether these are the files that the receipt speaks of: all sizes, and the SHA-256 of a few. rows: [[number, bytes, sha256]].
  async same({ rows, few }) {
    // Of an archive the members have no number of the sender's: they are not in `rows`.
    const wrong = rows.length !== entries.length || rows.some(([number, bytes]) => entries[number - 1]?.size !== bytes);
    const step = Math.max(1, Math.floor(rows.length / few));
    let fits = !wrong;
    for (let n = 0; fits && n < rows.length; n += step) {
      const [number, bytes, digest] = rows[n];
      if (!digest || bytes > 64 << 20) continue;
      try {
        fits = hex(await crypto.subtle.digest("SHA-256", await entries[number - 1].file.arrayBuffer())) === digest;
      } catch {
        fits = false;
      }
    }
    self.postMessage({ kind: "same", fits });
  },
};

self.onmessage = ({ data }) => acts[data.act](data);
