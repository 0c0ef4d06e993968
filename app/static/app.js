// The few things HTML and htmx cannot say, on every page. No inline handlers: the CSP forbids them.
document.addEventListener("click", async (event) => {
  event.target.closest("[data-dismiss]")?.closest("#notice").replaceChildren();
  const put = event.target.closest("[data-put]");
  if (put) {
    const field = document.getElementById(put.dataset.put);
    field.value = put.value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy);
    const before = copy.textContent;
    try {
      await navigator.clipboard.writeText(text.textContent);
      copy.textContent = "복사했습니다";
    } catch {
      getSelection().selectAllChildren(text); // not allowed to copy: one key is left to press
      copy.textContent = "선택했습니다";
    }
    setTimeout(() => { copy.textContent = before; }, 2000);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented) document.getElementById("notice").replaceChildren();
});

// No answer at all: say so where every notice stands.
document.addEventListener("htmx:error", (event) => {
  if (event.target.closest?.("[hx-sse\\:connect]")) return; // the live list says so itself
  const sentence = document.getElementById("unreachable").content.cloneNode(true);
  document.getElementById("notice").replaceChildren(sentence);
});

// What was pressed is gone: focus goes on to what came in its place.
document.addEventListener("htmx:after:swap", (event) => {
  const target = document.getElementById(event.detail.ctx.target?.id ?? "");
  if (document.activeElement !== document.body || !target?.matches("section")) return;
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
});

// Back out of the browser's memory: what it shows may be long over, so ask again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
