// Reads a file into the field of its form: the file itself, and its name, are never sent.

const line = document.querySelector("[data-reads]");
if (line) {
  const target = document.getElementById(line.dataset.reads);
  line.hidden = false;
  line.querySelector("input").addEventListener("change", async ({ target: { files } }) => {
    if (files[0] && target) target.value = await files[0].text();
  });
}
