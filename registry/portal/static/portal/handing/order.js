// Which files there are, in which order, under which numbers, and in which pieces they travel (docs/reference/upload.md).
// The same folder gives the same numbers and the same pieces, so that what is there already need not be sent again.

export const LARGE = 8 << 20; // a file above it is a piece of its own
export const BUNDLE = 16 << 20; // the longest tar
export const MOST = 100; // files in one
const DEEP = 12; // folders that have a number of their own; those below share the last place
const END = 1024;

// Code units in the order of the bytes of UTF-8: surrogates stand for what lies above all others.
const rank = (unit) => (unit < 0xd800 ? unit : unit >= 0xe000 ? unit - 0x800 : unit + 0x2000);

export function byPath(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const one = a.charCodeAt(i), other = b.charCodeAt(i);
    if (one !== other) return rank(one) - rank(other);
  }
  return a.length - b.length;
}

// The number of every folder, made up on the way: folder 3 in folder 1 is "1.3". Beyond twelve, a whole rest of a path is one folder.
export function folderNumbers() {
  const known = new Map([["", ""]]), counts = new Map();
  return (path) => {
    const parts = path.split("/").slice(0, -1);
    const steps = parts.length > DEEP ? [...parts.slice(0, DEEP - 1), parts.slice(DEEP - 1).join("/")] : parts;
    let here = "";
    for (const step of steps) {
      const next = `${here}\0${step}`;
      if (!known.has(next)) {
        const number = (counts.get(here) || 0) + 1;
        counts.set(here, number);
        known.set(next, known.get(here) ? `${known.get(here)}.${number}` : `${number}`);
      }
      here = next;
    }
    return known.get(here);
  };
}

const padded = (size) => 512 + Math.ceil(size / 512) * 512;

// files: [{path, file}] in any order. Gives [{number, path, folder, file, size}].
export function numbered(files) {
  const folder = folderNumbers();
  const sorted = [...files].sort((a, b) => byPath(a.path, b.path));
  return sorted.map((one, n) => ({ number: n + 1, path: one.path, folder: folder(one.path), file: one.file, size: one.file.size }));
}

// entries: of `numbered`. said: number -> words. Gives pieces, by number: {number, kind, entries, bytes, said}.
export function pieces(entries, said = new Map()) {
  const found = [];
  let bundle = null, length = 0;
  for (const one of entries) {
    if (one.size > LARGE || said.has(one.number)) {
      found.push({ number: one.number, kind: "file", entries: [one], bytes: one.size, said: said.get(one.number) || {} });
      continue;
    }
    if (bundle === null || bundle.entries.length === MOST || length + padded(one.size) + END > BUNDLE) {
      bundle = { number: one.number, kind: "bundle", entries: [], bytes: 0, said: {} };
      length = 0;
      found.push(bundle);
    }
    bundle.entries.push(one);
    bundle.bytes += one.size;
    length += padded(one.size);
  }
  return found;
}
