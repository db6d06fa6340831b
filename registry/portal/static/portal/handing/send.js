// The page of handing in: choose, look at what was chosen, send, and read the receipt. The work is the worker's; this is what a person sees of it.

import { fromDrop, fromInput, notOpened } from "./choose.js";
import { csv, fetched, summary, table } from "./receipt.js";
import { fromTable, guessed, isNifti } from "./said.js";
import { bytes, count, duration, element, say } from "./telling.js";

const $ = (id) => document.getElementById(id);
const root = $("hand-in");
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const MASKS_SHOWN = 200;
const STEADY = 15_000; // ms between two announcements of progress
const state = { upload: root.dataset.upload, paths: [], sizes: [], said: new Map(), lists: null, going: false, begun: 0, samples: [], announced: 0, failed: [] };

const show = (id, on = true) => { $(id).hidden = !on; };
function announce(text) { $("status").textContent = text; state.announced = Date.now(); }

function problem(reason, advice = "") {
  $("problem").replaceChildren(element("strong", reason), ...(advice ? [element("span", ` ${advice}`)] : []));
  show("problem");
}

// --- choosing ---------------------------------------------------------------------------------------------------------------------------------

function chosen(files) {
  show("problem", false);
  if (!files.length) { problem(say("nothing")); return; }
  announce(say("looking", { files: count(files.length) }));
  worker.postMessage({ act: "plan", files });
}

async function dropped(event) {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (state.going) return;
  try {
    chosen(await fromDrop(event.dataTransfer, (n) => { $("status").textContent = say("looking", { files: count(n) }); }));
  } catch {
    problem(say("unreadable-drop"));
  }
}

async function planned({ paths, sizes }) {
  Object.assign(state, { paths, sizes });
  const sum = sizes.reduce((all, one) => all + one, 0);
  $("sum").textContent = say("sum", { files: count(paths.length), bytes: bytes(sum) });
  const closed = notOpened(paths);
  $("archives").textContent = closed.length ? say("archives", { files: count(closed.length), first: closed[0] }) : "";
  show("archives", closed.length > 0);
  show("chosen");
  await masks();
  announce($("sum").textContent);
  $("start").disabled = false;
  $("start").focus();
}

// --- masks and other NIfTI files --------------------------------------------------------------------------------------------------------------

async function masks() {
  const some = state.paths.some(isNifti);
  show("masks", some);
  state.said = new Map();
  if (!some) return;
  state.lists ||= await (await fetch(`${root.dataset.api}annotations`, { credentials: "same-origin" })).json();
  state.said = guessed(state.paths, state.lists);
  drawMasks();
}

function drawMasks() {
  const numbers = state.paths.map((path, n) => [path, n + 1]).filter(([path]) => isNifti(path));
  $("masks-count").textContent = say("masks-shown", { shown: count(Math.min(MASKS_SHOWN, numbers.length)), all: count(numbers.length) });
  $("masks-rows").replaceChildren(...numbers.slice(0, MASKS_SHOWN).map(([path, number]) => {
    const line = element("tr");
    const words = state.said.get(number) || {};
    line.append(element("th", path, { scope: "row" }));
    for (const [name, list] of [["annotation", state.lists.words], ["contrast", state.lists.contrasts], ["body", state.lists.bodies], ["space", state.lists.spaces]]) {
      line.append(cellWith(selected(list, words[name], number, name, path)));
    }
    line.append(element("td", state.paths[words.beside - 1] || "–"));
    return line;
  }));
}

function cellWith(inner) { const cell = element("td"); cell.append(inner); return cell; }

function selected(list, chosenWord, number, name, path) {
  const select = element("select", "", { "aria-label": `${say(name)}: ${path}` });
  for (const word of ["", ...list]) select.append(new Option(word || "–", word, false, word === chosenWord));
  select.addEventListener("change", () => {
    const words = { ...(state.said.get(number) || {}), [name]: select.value };
    if (!select.value) delete words[name];
    if (Object.keys(words).length) state.said.set(number, words); else state.said.delete(number);
  });
  return select;
}

async function readTable(input) {
  if (!input.files[0]) return;
  const { said, strange, lost, known } = fromTable(await input.files[0].text(), state.paths);
  $("table-said").textContent = strange.length || (!said.size && !lost.length)
    ? say("table-columns", { known: ["path", ...known].join(", ") })
    : say("table-read", { rows: count(said.size), lost: count(lost.length) });
  for (const [number, words] of said) state.said.set(number, { ...(state.said.get(number) || {}), ...words });
  drawMasks();
}

// --- sending ----------------------------------------------------------------------------------------------------------------------------------

function start({ currentTarget }) {
  Object.assign(state, { going: true, begun: Date.now(), samples: [], failed: [] });
  for (const id of ["problem", "failures", "again", "start"]) show(id, false);
  for (const id of ["folder", "files"]) $(id).disabled = true;
  show("progress");
  show("pause");
  announce(say("sending"));
  const { dataset, site, api } = root.dataset;
  const csrf = document.querySelector("meta[name=csrf-token]").content;
  worker.postMessage({ act: "send", upload: state.upload, root: api, csrf, said: [...state.said], begin: { dataset, site }, sure: currentTarget.dataset.sure === "yes" });
  delete currentTarget.dataset.sure;
}

// The rate of the last ten seconds, of what really went over the line.
function rate(sent) {
  const now = Date.now();
  state.samples.push([now, sent]);
  while (state.samples.length > 2 && now - state.samples[0][0] > 10_000) state.samples.shift();
  const [[from, before]] = state.samples;
  return now - from > 500 ? ((sent - before) * 1000) / (now - from) : NaN;
}

function progress({ files, bytes: done, sent }) {
  const all = state.sizes.reduce((sum, one) => sum + one, 0), speed = rate(sent);
  const told = { files: count(files), all: count(state.paths.length), bytes: bytes(done), of: bytes(all), rate: speed ? `${bytes(speed)}/s` : "–", left: speed ? duration((all - done) / speed) : "–" };
  $("bar").value = all ? done / all : 0;
  $("numbers").textContent = say("numbers", told);
  if (Date.now() - state.announced > STEADY) announce(say("spoken", told));
}

const heard = {
  planned,
  progress,
  begun({ upload }) {
    state.upload = upload;
    history.replaceState(null, "", root.dataset.continue.replace("00000000-0000-0000-0000-000000000000", upload));
  },
  differs({ count: apart, all }) {
    ended();
    problem(say("differs", { pieces: count(apart), all: count(all) }));
    show("start");
    $("start").dataset.sure = "yes";
    $("start").focus();
  },
  retry({ reason }) { $("trying").textContent = say("retry", { reason }); show("trying"); },
  failed(told) {
    state.failed.push(told);
    const name = state.paths[told.number - 1];
    $("failures-list").append(element("li", `${say(told.count > 1 ? "failed-bundle" : "failed-file", { name, files: count(told.count) })}: ${told.reason} ${told.advice}`));
    show("failures");
  },
  state({ state: word, progress: far, pieces }) {
    show("trying", false);
    const told = { done: far ? count(far.done) : "", total: far ? count(far.total) : "", pieces: count(pieces || 0) };
    const name = far && word === "sorting" ? "state-sorting-far" : `state-${word}`;
    if ($("where").textContent !== say(name, told)) {
      $("where").textContent = say(name, told);
      if (Date.now() - state.announced > 2000) announce(say(name, told));
    }
  },
  stopped({ reason, advice, errors }) {
    ended();
    problem(reason, [advice, ...errors.slice(0, 5).map((one) => `${one.field}: ${one.reason}`)].join(" "));
    announce(`${say("stopped")} ${reason}`);
    $("again").hidden = false;
    $("again").focus();
  },
  async complete({ upload }) {
    ended();
    $("where").textContent = say("complete", { files: count(state.paths.length) });
    root.dataset.complete = upload;
    announce($("where").textContent);
    $("next").href = root.dataset.sorted.replace("00000000-0000-0000-0000-000000000000", upload);
    for (const id of ["numbers", "leave"]) show(id, false); // nothing is under way any more
    show("next-part");
    await receipt(upload);
  },
};

function ended() {
  state.going = false;
  for (const id of ["pause", "go", "trying"]) show(id, false);
  for (const id of ["folder", "files"]) $(id).disabled = false;
}

async function receipt(upload) {
  let rows;
  try {
    rows = await fetched(root.dataset.receipt.replace("00000000-0000-0000-0000-000000000000", upload));
  } catch {
    problem(say("no-receipt"));
    return;
  }
  summary(rows, $("receipt-sums"));
  $("receipt-count").textContent = say("receipt-shown", table(rows, state.paths, $("receipt-rows")));
  $("receipt-csv").href = URL.createObjectURL(csv(rows, state.paths));
  show("receipt");
}

// --- the page ---------------------------------------------------------------------------------------------------------------------------------

function pause(on) {
  worker.postMessage({ act: on ? "pause" : "go" });
  show("pause", !on);
  show("go", on);
  $(on ? "go" : "pause").focus();
  announce(say(on ? "paused" : "sending"));
}

function wire() {
  worker.onmessage = ({ data }) => heard[data.kind](data);
  worker.onerror = () => problem(say("no-worker"));
  for (const id of ["folder", "files"]) $(id).addEventListener("change", ({ target }) => target.files.length && chosen(fromInput(target.files)));
  $("drop").addEventListener("drop", dropped);
  $("drop").addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  $("drop").addEventListener("dragleave", () => $("drop").classList.remove("over"));
  $("table").addEventListener("change", ({ target }) => readTable(target));
  $("start").addEventListener("click", start);
  $("again").addEventListener("click", start);
  $("pause").addEventListener("click", () => pause(true));
  $("go").addEventListener("click", () => pause(false));
  window.addEventListener("beforeunload", (event) => { if (state.going) event.preventDefault(); });
  show("choose");
}

if (window.isSecureContext && crypto.subtle) wire();
else show("insecure");
