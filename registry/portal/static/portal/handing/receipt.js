// The receipt: every file once. The registry knows numbers, this page names; they meet here, and only here.

import { bytes, count, element, say } from "./telling.js";

const SHOWN = 200;
const COLUMNS = ["number", "path", "bytes", "sha256", "verdict", "code", "reason", "advice", "product"];

// rows: one JSON array per line, as the receipt's page gives them. Gives [{number, n, bytes, ...}].
export async function fetched(address) {
  const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  const rows = [];
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += value || "";
    const lines = rest.split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines) if (line) rows.push(JSON.parse(line));
    if (done) return rows;
  }
}

// A cell that a spreadsheet takes as text: names may begin like a formula.
const cell = (value) => {
  const plain = String(value ?? "");
  const safe = /^[=+\-@\t]/.test(plain) ? `'${plain}` : plain;
  return /[",\n\r;]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export function csv(rows, paths) {
  const lines = [COLUMNS.join(",")];
  for (const row of rows) lines.push(COLUMNS.map((name) => cell(name === "path" ? paths[row.number - 1] : row[name])).join(","));
  return new Blob([`\ufeff${lines.join("\r\n")}\r\n`], { type: "text/csv" });
}

export function summary(rows, into) {
  const sums = new Map();
  for (const row of rows) sums.set(row.verdict, (sums.get(row.verdict) || 0) + 1);
  into.replaceChildren(...[...sums].map(([verdict, n]) => element("li", `${say(`verdict-${verdict}`)}: ${count(n)}`)));
}

// What was not taken first, then the rest, as far as a page can show them.
export function table(rows, paths, into) {
  const order = ["failed", "refused", "waiting", "missing", "pending", "kept"];
  const sorted = [...rows].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict)).slice(0, SHOWN);
  into.replaceChildren(...sorted.map((row) => {
    const line = element("tr");
    const first = row.number ? paths[row.number - 1] || say("file", { number: row.number }) : say("member");
    const name = row.count > 1 ? say("more", { name: first, files: count(row.count - 1) }) : first;
    line.append(element("th", name, { scope: "row" }), element("td", bytes(row.bytes)), element("td", say(`verdict-${row.verdict}`)));
    line.append(element("td", [row.reason, row.advice].filter(Boolean).join(" ")));
    return line;
  }));
  return { shown: sorted.length, all: rows.length };
}
