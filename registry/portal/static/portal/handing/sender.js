// Sends the pieces of a folder, a few at once, and goes on wherever it was left. No file is ever held whole: bundles are small, large files go by slices.
// "Complete" is the registry's word: it is said once the carrier's own SHA-256 of every file is the one that was given.

import { bytesToHex, sha256 } from "../../vendor/sha256.js";
import { bundle, length as tarLength } from "./bundle.js";
import { CHUNK, Trouble, beginsAgain, hex } from "./wire.js";

const AT_ONCE = 3;
const TRIES = 8; // of one piece without a byte of progress, before the others go on without it
const ROUNDS = 4; // of sending what the registry found missing
const LONGEST = 30_000;
const CLOSED = new Set(["sorted", "done"]);

export const asleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

async function bytesOf(entry, from = 0, to = entry.size) {
  let bytes;
  try {
    bytes = new Uint8Array(await entry.file.slice(from, to).arrayBuffer());
  } catch {
    throw new Trouble("unreadable", "A file can no longer be read.", "See that it is still there, then choose the folder again.");
  }
  if (bytes.length !== to - from || entry.file.size !== entry.size) {
    throw new Trouble("file_changed", "A file changed while it was handed in.", "Let nothing write there, then choose the folder again.");
  }
  return bytes;
}

// The SHA-256 of a file as far as it was read. One chunk back is remembered: that is where a broken line goes on.
class Reading {
  constructor(entry) { Object.assign(this, { entry, at: 0, hash: sha256.create(), before: null }); }

  add(bytes) {
    this.before = { at: this.at, hash: this.hash.clone() };
    this.hash.update(bytes);
    this.at += bytes.length;
  }

  async to(offset) {
    if (offset < this.at) Object.assign(this, this.before?.at === offset ? this.before : { at: 0, hash: sha256.create() }, { before: null });
    while (this.at < offset) this.add(await bytesOf(this.entry, this.at, Math.min(offset, this.at + CHUNK)));
  }

  digest() { return bytesToHex(this.hash.clone().digest()); }
}

// How many pieces that are there are none of these: by what can be told without reading a file.
export function unlike(pieces, there) {
  const ours = new Map(pieces.map((one) => [one.number, `${one.kind} ${one.entries.length} ${sizeOf(one)}`]));
  const living = [...there.values()].filter((one) => one.state === "done" || one.state === "open");
  return { count: living.filter((one) => ours.get(one.number) !== `${one.kind} ${one.count} ${one.length}`).length, all: living.length };
}

const sizeOf = (piece) => (piece.kind === "bundle" ? tarLength(piece.entries) : piece.bytes);

export class Sender {
  // told(message): what happens, for the page. pieces: of `order.js`.
  constructor(wire, upload, pieces, told) {
    Object.assign(this, { wire, upload, pieces, told, stopped: null, gate: null, open: null });
    this.count = pieces.reduce((sum, one) => sum + one.entries.length, 0);
    this.bytes = pieces.reduce((sum, one) => sum + one.bytes, 0);
    this.done = { files: 0, bytes: 0 };
    this.sent = 0; // bytes that went over the line in this visit
  }

  pause() { this.gate ||= new Promise((open) => { this.open = open; }); }

  go() { this.open?.(); Object.assign(this, { gate: null, open: null }); }

  async ready() {
    while (this.gate) await this.gate;
    if (this.stopped) throw this.stopped;
  }

  // Send everything; gives the upload as the registry last told it. Throws a Trouble that stops all.
  async run() {
    let left = this.pieces, again = false;
    for (let round = 0; round < ROUNDS; round += 1) {
      const failed = await this.round(left, again);
      if (failed.length) throw new Trouble("some_failed", `${failed.length} piece(s) could not be sent.`, "Continue tries them again.");
      const missing = await this.close();
      if (missing === null) {
        const upload = await this.sorted();
        if (upload.state !== "receiving") return upload;
      }
      [left, again] = [await this.missing(missing), true];
      this.told({ kind: "state", state: "again", pieces: left.length });
    }
    throw new Trouble("never_whole", "The registry keeps missing something of this upload.", "Tell who runs it; nothing was said to be complete.");
  }

  async round(pieces, again) {
    const there = await this.patiently(() => this.wire.there(this.upload));
    if (!again) await this.without(there);
    const queue = pieces[Symbol.iterator](), failed = [];
    if (again) for (const one of pieces) this.credit(one, 0);
    const work = async () => {
      for (const piece of queue) {
        try {
          await this.piece(piece, there.get(piece.number));
        } catch (error) {
          if (error.stop || !(error instanceof Trouble)) this.stopped ||= error;
          if (this.stopped) return;
          failed.push(piece);
          this.told({ kind: "failed", number: piece.number, count: piece.entries.length, code: error.code, reason: error.reason, advice: error.advice });
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (this.stopped) {
      const why = this.stopped;
      this.stopped = null;
      throw why;
    }
    return failed;
  }

  // What is there and no longer in the folder goes: an upload is one folder, as it is now.
  async without(there) {
    const ours = new Set(this.pieces.map((one) => one.number));
    for (const one of there.values()) {
      if (!ours.has(one.number) && one.state !== "ended") {
        await this.patiently(() => this.wire.ask("DELETE", `uploads/${this.upload}/tus/${one.id}`).catch((error) => { if (error.code !== "piece_ended") throw error; }));
      }
    }
  }

  // One piece until it is whole, through broken lines and restarts of the server.
  async piece(piece, known) {
    let tries = 0, at = -1, words = null;
    for (;;) {
      await this.ready();
      try {
        words ||= await this.announced(piece, known);
        if (words === true) return this.credit(piece, 1);
        await this.once(piece, words);
        return this.credit(piece, 1);
      } catch (error) {
        if (!(error instanceof Trouble) || error.stop || error.code === "unreadable" || error.code === "file_changed") throw error;
        if (beginsAgain(error)) [words, known] = [null, undefined];
        tries = (piece.acked || 0) > at ? 1 : tries + 1;
        at = Math.max(at, piece.acked || 0);
        if (tries > TRIES) throw error;
        this.told({ kind: "retry", code: error.code, reason: error.reason });
        await asleep(Math.max(error.wait * 1000, Math.min(LONGEST, 250 * 2 ** tries)) * (0.75 + Math.random() / 2));
      }
    }
  }

  // What is said of the piece when it begins; true where it is there already, whole and the same.
  async announced(piece, known) {
    if (piece.kind === "bundle") {
      piece.tar = await bundle(piece.entries, bytesOf);
      const digest = hex(await crypto.subtle.digest("SHA-256", piece.tar));
      if (known?.state === "done" && known.length === piece.tar.length && known.sha256 === digest) return this.forget(piece);
      return { kind: "bundle", number: piece.number, count: piece.entries.length, sha256: digest };
    }
    const [entry] = piece.entries, plain = { kind: "file", number: piece.number, folder: entry.folder, ...piece.said };
    piece.reading = new Reading(entry);
    if (known?.state !== "done" || known.length !== entry.size) return plain;
    await piece.reading.to(entry.size);
    const digest = piece.reading.digest();
    return known.sha256 === digest && !Object.keys(piece.said).length ? this.forget(piece) : { ...plain, sha256: digest };
  }

  forget(piece) {
    Object.assign(piece, { tar: null, reading: null });
    return true;
  }

  async once(piece, words) {
    const size = piece.tar ? piece.tar.length : piece.entries[0].size;
    let { path, offset, state } = await this.wire.begin(this.upload, size, words);
    while (state !== "done") {
      await this.ready();
      const end = Math.min(size, offset + CHUNK);
      const bytes = piece.tar ? piece.tar.subarray(offset, end) : await this.slice(piece, offset, end);
      const whole = !piece.tar && end === size && !words.sha256 ? piece.reading.digest() : "";
      this.credit(piece, offset / (size || 1));
      piece.acked = offset;
      ({ offset, state } = await this.wire.chunk(path, offset, bytes, whole));
      this.sent += bytes.length;
      if (state === "again") throw new Trouble("piece_again", "The registry wants a piece again.");
      if (offset < end || (offset === size && state === "open" && !bytes.length)) throw new Trouble("cut_short", "A chunk did not arrive whole.");
    }
    this.forget(piece);
  }

  async slice(piece, offset, end) {
    await piece.reading.to(offset);
    const bytes = await bytesOf(piece.entries[0], offset, end);
    piece.reading.add(bytes);
    return bytes;
  }

  // Count a piece as being there up to this share of it.
  credit(piece, share) {
    const bytes = Math.floor(piece.bytes * share), files = share === 1 ? piece.entries.length : 0;
    this.done.bytes += bytes - (piece.counted?.bytes || 0);
    this.done.files += files - (piece.counted?.files || 0);
    piece.counted = { bytes, files };
    this.told({ kind: "progress", ...this.done, sent: this.sent });
  }

  // Say that all is sent; null, or the numbers of the pieces that are missing.
  async close() {
    try {
      await this.patiently(() => this.wire.ask("POST", `uploads/${this.upload}/complete`, { json: { count: this.count, bytes: this.bytes } }));
      return null;
    } catch (error) {
      if (error.code === "upload_closed") return null; // an earlier answer was lost on its way
      if (error.code !== "upload_incomplete") throw error;
      return error.errors.map((one) => Number(/^pieces\.(\d+)$/.exec(one.field)?.[1])).filter(Boolean);
    }
  }

  // Wait until the carrier has looked at every file.
  async sorted() {
    for (let asked = 0; ; asked += 1) {
      const upload = await this.patiently(() => this.wire.get(`uploads/${this.upload}`));
      this.told({ kind: "state", state: upload.state, progress: upload.progress });
      if (upload.state === "failed") throw new Trouble(upload.code || "failed", upload.reason || "The upload could not be sorted.", "Hand it in again.", { stop: true });
      if (CLOSED.has(upload.state) || upload.state === "receiving") return upload;
      await asleep(Math.min(10_000, 1000 + asked * 250));
    }
  }

  // What is to be sent once more: what was named, or else whatever is not there whole.
  async missing(numbers) {
    const there = await this.patiently(() => this.wire.there(this.upload));
    const named = new Set(numbers || []);
    return this.pieces.filter((one) => named.has(one.number) || there.get(one.number)?.state !== "done");
  }

  async patiently(ask) {
    for (let tries = 0; ; tries += 1) {
      try {
        return await ask();
      } catch (error) {
        const passes = error.code === "no_connection" || error.wait || /^http_5|busy|throttled/.test(error.code || "");
        if (error.stop || !passes || tries >= TRIES * 4) throw error;
        this.told({ kind: "retry", code: error.code, reason: error.reason });
        await asleep(Math.max(error.wait * 1000, Math.min(LONGEST, 250 * 2 ** tries)));
      }
    }
  }
}
