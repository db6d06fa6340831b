// A bundle: the plainest tar there is. The same files give the same bytes (docs/reference/upload.md).

const text = new TextEncoder();
const octal = (value, digits) => value.toString(8).padStart(digits, "0");

export function header(entry) {
  const block = new Uint8Array(512);
  const put = (at, words) => block.set(text.encode(words), at);
  put(0, String(entry.number).padStart(9, "0"));
  put(100, "0000600");
  put(108, "0000000");
  put(116, "0000000");
  put(124, octal(entry.size, 11));
  put(136, "00000000000");
  put(148, "        ");
  put(156, "0");
  put(257, "ustar");
  put(263, "00");
  put(345, entry.folder);
  put(148, octal(block.reduce((sum, byte) => sum + byte, 0), 6));
  block[154] = 0;
  block[155] = 32;
  return block;
}

const whole = (size) => Math.ceil(size / 512) * 512;

export const length = (entries) => entries.reduce((sum, one) => sum + 512 + whole(one.size), 1024);

// The tar of a piece's entries, at most 16 MiB. `read` gives the bytes of an entry, and throws where they are not those that were counted.
export async function bundle(entries, read) {
  const tar = new Uint8Array(length(entries));
  let at = 0;
  for (const one of entries) {
    tar.set(header(one), at);
    tar.set(await read(one), at + 512);
    at += 512 + whole(one.size);
  }
  return tar;
}
