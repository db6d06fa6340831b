// Questions to the registry. What went wrong becomes a Trouble: its code and reason, and whether to try again, begin the piece again, or stop all.

export const CHUNK = 8 << 20;
const AGAIN = new Set(["piece_ended", "piece_again", "piece_done", "digest_mismatch", "bundle_damaged", "bundle_order", "bundle_count", "bundle_unreadable"]);
const STOP = new Set([400, 401, 403, 411, 412, 413, 415, 507]);

export class Trouble extends Error {
  constructor(code, reason, advice = "", { stop = false, wait = 0, errors = [] } = {}) {
    super(reason);
    Object.assign(this, { code, reason, advice, stop, wait, errors });
  }
}

const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const utf8 = (words) => base64(new TextEncoder().encode(words));
export const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const raw = (digits) => Uint8Array.from(digits.match(/../g), (two) => parseInt(two, 16));

async function trouble(answer) {
  let told = {};
  try { told = await answer.json(); } catch { /* no document: the status must do */ }
  const code = told.code || `http_${answer.status}`;
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  const stop = (STOP.has(answer.status) && !AGAIN.has(code) && code !== "cut_short" && code !== "bad_offset") || code === "upload_closed";
  if (answer.status === 401) return new Trouble("signed_out", "You are signed out.", "Sign in again in another tab, then continue.", { stop });
  return new Trouble(code, told.detail || `The registry answered ${answer.status}.`, told.advice || "", { stop, wait, errors: told.errors || [] });
}

export class Wire {
  constructor(root, csrf) { Object.assign(this, { root, csrf }); }

  async ask(method, path, { body, headers = {}, json } = {}) {
    const told = { "Tus-Resumable": "1.0.0", Accept: "application/json", ...headers };
    if (method !== "GET") told["X-CSRFToken"] = this.csrf;
    if (json !== undefined) { told["Content-Type"] = "application/json"; body = JSON.stringify(json); }
    let answer;
    try {
      answer = await fetch(path.startsWith("/") ? path : `${this.root}${path}`, { method, body, headers: told, credentials: "same-origin", cache: "no-store", redirect: "error" });
    } catch {
      throw new Trouble("no_connection", "The registry does not answer.", "It is tried again by itself; look whether you are connected.");
    }
    if (!answer.ok) throw await trouble(answer);
    return answer;
  }

  async get(path) { return (await this.ask("GET", path)).json(); }

  // Every piece that is there, by number; of two the later one.
  async there(upload) {
    const found = new Map();
    for (let next = `uploads/${upload}/tus?limit=1000`; next;) {
      const page = await this.get(next);
      for (const piece of page.results) found.set(piece.number, piece);
      next = page.next ? new URL(page.next).pathname + new URL(page.next).search : "";
    }
    return found;
  }

  // Begin a piece, or find it where it was: {path, offset, state}.
  async begin(upload, length, words) {
    const pairs = Object.entries(words).filter(([, value]) => value !== "" && value !== undefined && value !== null);
    const headers = { "Upload-Length": String(length), "Upload-Metadata": pairs.map(([key, value]) => `${key} ${utf8(String(value))}`).join(",") };
    const answer = await this.ask("POST", `uploads/${upload}/tus`, { headers });
    const path = new URL(answer.headers.get("Location"), self.location.href).pathname;
    return { path, offset: Number(answer.headers.get("Upload-Offset")), state: answer.headers.get("Myelin-State") };
  }

  // The next chunk, with its own digest; `whole` is that of the piece, in hex, once it is known. Gives {offset, state}.
  async chunk(path, offset, bytes, whole = "") {
    const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
    if (bytes.byteLength) headers["Upload-Checksum"] = `sha256 ${base64(await crypto.subtle.digest("SHA-256", bytes))}`;
    if (whole) headers["Repr-Digest"] = `sha-256=:${base64(raw(whole))}:`;
    const answer = await this.ask("PATCH", path, { headers, body: bytes });
    return { offset: Number(answer.headers.get("Upload-Offset")), state: answer.headers.get("Myelin-State") };
  }
}

export const beginsAgain = (error) => AGAIN.has(error.code);
