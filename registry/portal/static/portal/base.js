// What every page has: Django's CSRF token on each question of htmx that changes something, and the reader led to what is wrong in a form.
// The token stands in a meta tag, for a header written into a page's attributes would be evaluated.
const token = document.querySelector('meta[name="csrf-token"]')?.content;
const SAFE = new Set(["get", "head", "options"]);

document.addEventListener("htmx:configRequest", (event) => {
  if (token && !SAFE.has(event.detail.verb)) event.detail.headers["X-CSRFToken"] = token;
});

const leadToWrong = (place) => place.querySelector("[data-focus]")?.focus();
leadToWrong(document);
document.addEventListener("htmx:afterSwap", (event) => leadToWrong(event.detail.target));
