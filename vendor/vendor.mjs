// What the portal's pages load from others: copied or bundled from pinned npm packages, with the licences of all that is inside, and a list of hashes.
// Run by `make vendor` after `npm ci`. The output is committed: users and CI need no node.
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const MODULES = join(HERE, "node_modules");
const LOCK = JSON.parse(readFileSync(join(HERE, "package-lock.json"), "utf8")).packages;
const PAGES = join(HERE, "../registry/portal/static/vendor");
const TESTS = join(HERE, "../tests/registry/upper/portal/axe");

// file -> what it is made from: `copied` from the package as is, or `bundled` by esbuild from a line of ours.
const FOR_PAGES = {
  "htmx.js": { name: "htmx.org", copied: "dist/htmx.min.js" },
  "niivue.js": { name: "@niivue/niivue", copied: "dist/index.js" },
  "sha256.js": { name: "@noble/hashes", bundled: 'export { sha256 } from "@noble/hashes/sha2.js"; export { bytesToHex } from "@noble/hashes/utils.js";' },
  "age.js": { name: "age-encryption", bundled: 'export { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";' },
};
const FOR_TESTS = { "axe.min.js": { name: "axe-core", copied: "axe.min.js" } };

const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");
const about = (name) => JSON.parse(readFileSync(join(MODULES, name, "package.json"), "utf8"));

// A package and all it needs. Where npm keeps two versions of one, the licence is the same.
function family(name, found = new Set()) {
  if (!found.has(name)) {
    found.add(name);
    Object.keys(about(name).dependencies ?? {}).forEach((needed) => family(needed, found));
  }
  return found;
}

// The licence texts of a package. NiiVue ships none in its package: its repository's text lies beside this script.
function licences(name, folder) {
  const texts = readdirSync(join(MODULES, name)).filter((file) => /^licen[cs]e/i.test(file));
  const { version, license } = about(name);
  const head = `${name} ${version}, ${license}\n\n`;
  const own = { "@niivue/niivue": join(HERE, "niivue-licence.txt") };
  const told = texts.length ? texts.map((file) => join(MODULES, name, file)) : [own[name]];
  if (!told[0]) throw new Error(`${name} ships no licence text: put one beside this script`);
  const path = `licences/${name.replace("@", "").replace("/", "-")}.txt`;
  writeFileSync(join(folder, path), head + told.map((text) => readFileSync(text, "utf8")).join("\n\n"));
  return path;
}

async function fill(folder, files) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "licences"), { recursive: true });
  const list = [];
  for (const [file, { name, copied, bundled }] of Object.entries(files)) {
    const path = join(folder, file);
    if (copied) cpSync(join(MODULES, name, copied), path);
    else await build({ stdin: { contents: bundled, resolveDir: HERE }, outfile: path, bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "inline" });
    const { version, license } = about(name);
    const { resolved, integrity } = LOCK[`node_modules/${name}`];
    list.push({
      file, name, version, licence: license, source: resolved ?? `https://registry.npmjs.org/${name}`, integrity,
      from: copied ?? bundled, made: copied ? "copied" : `bundled by esbuild ${about("esbuild").version}`,
      licences: [...family(name)].sort().map((inside) => licences(inside, folder)), sha256: sha256(path),
    });
  }
  writeFileSync(join(folder, "VENDORED.json"), JSON.stringify(list, null, 2) + "\n");
}

await fill(PAGES, FOR_PAGES);
await fill(TESTS, FOR_TESTS);
