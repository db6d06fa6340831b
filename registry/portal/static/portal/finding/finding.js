// What a refusal says is shown where the answer would stand: htmx leaves out answers of 400 and more unless it is told otherwise.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { status } = event.detail.xhr;
  if (status >= 400 && status < 500 && status !== 401) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
