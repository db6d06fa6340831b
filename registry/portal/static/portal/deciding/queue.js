// The queue by keyboard. Every key does what a link or button of the page does; single keys can be switched off, and are off while something is typed.
const rows = [...document.querySelectorAll("#queue > li")];
const help = document.getElementById("keys");
const on = document.getElementById("keys-on");
const OFF = "myelin-keys-off";
const PLACE = "myelin-queue-place";
let at = -1;

function remembered(key) {
  try { return sessionStorage.getItem(key) ?? localStorage.getItem(key); } catch { return null; }
}

function remember(store, key, value) {
  try { value === null ? store().removeItem(key) : store().setItem(key, value); } catch { /* a browser that keeps nothing */ }
}

function go(to) {
  if (!rows.length) return;
  at = Math.max(0, Math.min(rows.length - 1, to));
  for (const row of rows) row.classList.toggle("here", row === rows[at]);
  rows[at].focus();
}

function open() {
  rows[at]?.querySelector("a.open")?.click();
}

function send() {
  remember(() => sessionStorage, PLACE, String(at));
}

function accept() {
  const button = rows[at]?.querySelector("form.accept button");
  if (button) { send(); button.click(); }
}

function why(kind) {
  const asked = rows[at]?.querySelector(`details.${kind}`);
  if (!asked) return;
  asked.open = true;
  asked.querySelector("[name=reason]").focus();
}

const KEYS = {
  j: () => go(at + 1), k: () => go(at - 1), Enter: open, a: accept, r: () => why("refuse"), s: () => why("return"), "?": () => { help.open = !help.open; },
};

on.checked = remembered(OFF) === null;
on.addEventListener("change", () => remember(() => localStorage, OFF, on.checked ? null : "yes"));

document.addEventListener("keydown", (event) => {
  const typed = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape" && typed && at >= 0 && rows[at].contains(typed)) {
    typed.closest("details").open = false;
    rows[at].focus();
    return;
  }
  if (!on.checked || typed || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  if (event.key === "Enter" && event.target.closest("a, button, summary, input")) return; // the thing with the focus does its own
  event.preventDefault();
  KEYS[event.key]();
});

for (const [n, row] of rows.entries()) {
  row.addEventListener("focusin", () => {
    at = n;
    for (const other of rows) other.classList.toggle("here", other === row);
  });
}
for (const form of document.querySelectorAll("#queue form")) form.addEventListener("submit", send);
const kept = remembered(PLACE);
if (kept !== null) { // after a decision: the next one is where the last was
  remember(() => sessionStorage, PLACE, null);
  go(Number(kept));
}
