// What goes along with a NIfTI file instead of its name: a word of the registry's lists that its name holds, and which file it lies beside, by number.
// The same guesses as the command line makes (client/said.py); a person sees them before anything is sent, and may say otherwise.

const NIFTI = /\.nii(\.gz)?$/i;
const SMALL = /\.(json|bval|bvec|txt)$/i;
export const isNifti = (path) => NIFTI.test(path);
const own = (path) => path.split("/").pop();
const folder = (path) => path.slice(0, path.length - own(path).length);
const stem = (path) => own(path).replace(/(\.nii)?(\.gz|\.json|\.bval|\.bvec|\.txt|\.nii)?$/i, "");

// The word that the name of a mask holds, whole or before "seg" or "mask".
export function shown(path, words) {
  if (!isNifti(path)) return "";
  const parts = own(path).toLowerCase().split(/[^a-z]+/);
  const bare = [...parts, ...parts.map((part) => part.replace(/seg$/, "").replace(/mask$/, ""))];
  return bare.find((part) => words.includes(part)) || "";
}

// The contrast that a part of the name is, where it is but one.
export function contrast(path, contrasts) {
  if (!isNifti(path)) return "";
  const known = new Map(contrasts.map((word) => [word.toLowerCase(), word]));
  const named = new Set(own(path).toLowerCase().split(/[^a-z0-9]+/).filter((part) => known.has(part)));
  return named.size === 1 ? known.get([...named][0]) : "";
}

// The template space that an image's name gives as BIDS does.
export function space(path, spaces) {
  const found = isNifti(path) ? /(?:^|_)space-([A-Za-z0-9]+)(?=[_.])/.exec(own(path)) : null;
  return found && spaces.includes(found[1]) ? found[1] : "";
}

// paths: in order, number 1 first. lists: of GET /annotations. Gives number -> words.
export function guessed(paths, lists) {
  const near = new Map();
  paths.forEach((path, n) => {
    if (!isNifti(path)) return;
    if (!near.has(folder(path))) near.set(folder(path), []);
    near.get(folder(path)).push({ number: n + 1, stem: stem(path) });
  });
  const said = new Map();
  paths.forEach((path, n) => {
    if (!near.has(folder(path)) || !(isNifti(path) || SMALL.test(path))) return;
    const annotation = shown(path, lists.words), mine = stem(path);
    const sides = near.get(folder(path)).filter((one) => one.number !== n + 1 && one.stem && mine.startsWith(one.stem) && (!isNifti(path) || mine !== one.stem));
    const beside = sides.sort((a, b) => b.stem.length - a.stem.length || b.number - a.number)[0]?.number || "";
    const told = { annotation, contrast: annotation ? "" : contrast(path, lists.contrasts), space: annotation ? "" : space(path, lists.spaces), beside };
    const words = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== ""));
    if (Object.keys(words).length) said.set(n + 1, words);
  });
  return said;
}

// A table of the sender's own: CSV with `path` and any of the words. Gives {said, lost}: lost are paths that no file has.
export function fromTable(text, paths) {
  const [head, ...rows] = parsed(text);
  const known = ["visit", "contrast", "body", "processed", "space", "annotation", "rater", "labels", "beside", "resample"];
  const columns = (head || []).map((name) => name.trim());
  const strange = columns.filter((name) => name !== "path" && !known.includes(name));
  if (!columns.includes("path") || strange.length) return { strange, known, said: new Map(), lost: [] };
  const numbers = new Map(paths.map((path, n) => [path, n + 1]));
  const said = new Map(), lost = [];
  for (const row of rows) {
    const told = Object.fromEntries(columns.map((name, n) => [name, (row[n] || "").trim()]).filter(([, value]) => value));
    const number = numbers.get(told.path);
    if (told.beside && !/^\d+$/.test(told.beside)) told.beside = numbers.get(told.beside);
    if (!number || ("beside" in told && !told.beside)) lost.push(told.path || "");
    else { delete told.path; said.set(number, told); }
  }
  return { strange: [], known, said, lost };
}

// CSV with quotes, comma, semicolon or tab.
export function parsed(text) {
  const line = text.split(/\r?\n/, 1)[0];
  const mark = ["\t", ";", ","].find((one) => line.includes(one)) || ",";
  const rows = [[]];
  let cell = "", quoted = false;
  const end = () => { rows.at(-1).push(cell); cell = ""; };
  for (let i = 0; i < text.length; i += 1) {
    const one = text[i];
    if (quoted) {
      if (one === '"' && text[i + 1] === '"') { cell += '"'; i += 1; } else if (one === '"') quoted = false; else cell += one;
    } else if (one === '"') quoted = true;
    else if (one === mark) end();
    else if (one === "\n") { end(); rows.push([]); } else if (one !== "\r") cell += one;
  }
  end();
  return rows.filter((row) => row.some((value) => value.trim()));
}
