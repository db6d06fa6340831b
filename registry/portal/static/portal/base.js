// What every page with htmx needs: Django's CSRF token on each question that changes something.
// The token stands in a meta tag, for a header written into a page's attributes would be evaluated.
const token = document.querySelector('meta[name="csrf-token"]')?.content;
const SAFE = new Set(["get", "head", "options"]);

document.addEventListener("htmx:configRequest", (event) => {
  if (token && !SAFE.has(event.detail.verb)) event.detail.headers["X-CSRFToken"] = token;
});
