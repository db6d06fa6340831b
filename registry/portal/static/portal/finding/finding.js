// What a refusal says is shown where the answer would stand, in its own words, and not as a trouble of the whole page.
document.addEventListener(
  "htmx:beforeSwap",
  (event) => {
    const { status } = event.detail.xhr;
    if (status !== 403 && status !== 429) return;
    Object.assign(event.detail, { shouldSwap: true, isError: false });
    event.stopPropagation();
  },
  true,
);
