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

// An answer to htmx that is a form with what is wrong in it takes the form's place. Who is signed out is led to the sign-in by loading the page again.
// Whatever else went wrong is said among the messages, in the words that lie in the page.
const AS_ANSWERED = new Set([400, 409, 422]);
const trouble = () => {
  const words = document.getElementById("trouble")?.content.cloneNode(true);
  if (words) document.getElementById("messages").replaceChildren(words);
};

document.addEventListener("htmx:beforeSwap", (event) => {
  const { status } = event.detail.xhr;
  if (status === 401) window.location.reload();
  else if (AS_ANSWERED.has(status)) Object.assign(event.detail, { shouldSwap: true, isError: false });
  else if (status >= 400) trouble();
});
document.addEventListener("htmx:sendError", trouble);
