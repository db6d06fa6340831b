// A key for packages, made in this browser. The private half is put on the page and into a file to save; no form field holds it, and nothing sends it.
import { generateX25519Identity, identityToRecipient } from "../../vendor/age.js";

const panel = document.querySelector("[data-key]");
const find = (name) => panel.querySelector(`[data-key-${name}]`);

async function make() {
  const secret = await generateX25519Identity();
  const recipient = await identityToRecipient(secret);
  const text = `# created: ${new Date().toISOString()}\n# public key: ${recipient}\n${secret}\n`;
  find("secret").textContent = secret;
  find("file").href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  panel.querySelector("[name=recipient_key]").value = recipient;
  find("made").hidden = false;
  find("saved").checked = false;
  find("give").disabled = true; // until the private half is saved: a public key whose other half is lost opens nothing
  find("told").focus();
}

if (panel) {
  find("make").hidden = false;
  find("button").addEventListener("click", () => make().catch(() => { find("failed").hidden = false; }));
  find("saved").addEventListener("change", (event) => { find("give").disabled = !event.target.checked; });
  panel.querySelector("[name=recipient_key]").addEventListener("input", () => { find("give").disabled = false; });
}
