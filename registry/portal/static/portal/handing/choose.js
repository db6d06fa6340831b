// What was chosen or dropped, as [{path, file}]: folders of any depth, single files, zips. A folder chosen alone stands for what is in it.

const clean = (path) => path.replace(/^\/+/, "");

export function fromInput(list) {
  const files = [...list].map((file) => ({ path: clean(file.webkitRelativePath || file.name), file }));
  return withoutTop(files);
}

// The one folder that all files lie in says nothing: dropped, chosen or renamed, it is the same upload.
export function withoutTop(files) {
  const top = files[0]?.path.split("/")[0];
  const alone = files.length && files.every((one) => one.path.startsWith(`${top}/`));
  return alone ? files.map((one) => ({ path: one.path.slice(top.length + 1), file: one.file })) : files;
}

// found: called with how many there are so far. The entries must be taken at once: a drop is over when its event is.
export async function fromDrop(transfer, found = () => {}) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const files = [];
  const queue = [...entries];
  while (queue.length) {
    const entry = queue.pop();
    if (entry.isFile) {
      files.push({ path: clean(entry.fullPath), file: await new Promise((take, fail) => entry.file(take, fail)) });
      if (files.length % 500 === 0) found(files.length);
      continue;
    }
    const reader = entry.createReader();
    for (;;) { // a folder is told a hundred at a time
      const some = await new Promise((take, fail) => reader.readEntries(take, fail));
      if (!some.length) break;
      queue.push(...some);
    }
  }
  return withoutTop(files);
}

const OTHER_ARCHIVE = /\.(tar|tgz|tar\.gz|tar\.bz2|tar\.xz|7z|rar)$/i;

// Archives that the registry does not open, by name: better said before than refused after.
export const notOpened = (paths) => paths.filter((path) => OTHER_ARCHIVE.test(path));
