// The window's few lines: tell the page around us how it ended; Escape closes.
const told = document.getElementById("told");
if (told && window.parent !== window) {
  window.parent.postMessage(JSON.parse(told.dataset.told), told.dataset.opener);
}

document.addEventListener("keydown", (event) => {
  const close = document.querySelector("[data-close]");
  if (event.key === "Escape" && close && window.parent !== window) close.click();
});
