// How things are said: words of the page itself (so that they are in the reader's language), numbers as the reader writes them.

const language = document.documentElement.lang || "en";
const number = new Intl.NumberFormat(language);
const short = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
export const count = (value) => number.format(value);

export function bytes(value) {
  const steps = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1024 && step < steps.length - 1) { value /= 1024; step += 1; }
  return `${short.format(value)} ${steps[step]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const unit = (value, name) => new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "long" }).format(value);
  if (seconds < 90) return unit(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 90 * 60) return unit(Math.round(seconds / 60), "minute");
  return unit(Math.round(seconds / 360) / 10, "hour");
}

// The page's sentence of this name, with {places} filled.
export function say(name, told = {}) {
  const found = document.getElementById("words").content.querySelector(`[data-word="${name}"]`);
  return (found?.textContent || name).replace(/\{(\w+)\}/g, (all, key) => (key in told ? told[key] : all));
}

export function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
