// The receipt of an upload that was handed in before: choose the folder again, and its names are joined to the registry's numbers, here alone.

import { fromInput } from "./choose.js";
import { csv, fetched, summary, table } from "./receipt.js";
import { say } from "./telling.js";

const FEW = 200;
const $ = (id) => document.getElementById(id);
const root = $("joined");
let worker = null, paths = [], rows = [];

function said(text) { $("join-status").textContent = text; }

function draw() {
  summary(rows, $("receipt-sums"));
  $("receipt-count").textContent = say("receipt-shown", table(rows, paths, $("receipt-rows")));
  $("receipt-csv").href = URL.createObjectURL(csv(rows, paths));
  $("receipt").hidden = false;
}

const heard = {
  planned(told) {
    paths = told.paths;
    const numbered = rows.filter((row) => row.number && row.verdict !== "missing").map((row) => [row.number, row.bytes, row.sha256]);
    worker.postMessage({ act: "same", rows: numbered, few: FEW });
  },
  same({ fits }) {
    if (!fits) paths = [];
    said(say(fits ? "joined" : "not-the-same"));
    draw();
  },
};

async function choose(input) {
  said(say("comparing"));
  worker ||= Object.assign(new Worker(new URL("./worker.js", import.meta.url), { type: "module" }), { onmessage: ({ data }) => heard[data.kind](data) });
  try {
    rows = rows.length ? rows : await fetched(root.dataset.receipt);
  } catch {
    said(say("no-receipt"));
    return;
  }
  worker.postMessage({ act: "plan", files: fromInput(input.files) });
}

async function plain() {
  try {
    rows = rows.length ? rows : await fetched(root.dataset.receipt);
    draw();
  } catch {
    said(say("no-receipt"));
  }
}

if (root) { // an upload that is still under way has no receipt yet
  for (const id of ["folder", "files"]) $(id).addEventListener("change", ({ target }) => target.files.length && choose(target));
  $("without").addEventListener("click", plain);
  root.hidden = false;
}
