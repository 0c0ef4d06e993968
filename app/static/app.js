// The few things HTML and htmx cannot say. No inline handlers: the CSP forbids them.
document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
    const before = copy.textContent;
    copy.textContent = "복사했습니다";
    setTimeout(() => { copy.textContent = before; }, 2000);
  }
  const close = event.target.closest("[data-close]");
  const row = close && document.getElementById(close.dataset.close);
  if (row && row.matches("tr")) {
    event.preventDefault();
    row.previousElementSibling?.querySelector("a[hx-get]")?.focus();
    row.remove();
  }
});

// No answer at all: say so where every notice stands.
document.addEventListener("htmx:error", (event) => {
  if (event.target.closest?.("[hx-sse\\:connect]")) return;
  const notice = document.createElement("p");
  notice.className = "notice-text";
  notice.setAttribute("role", "alert");
  notice.textContent = "서버에 연결하지 못했습니다. 네트워크를 확인하고 다시 시도해 주세요.";
  document.getElementById("notice").replaceChildren(notice);
});

// A refund form that is open already is not opened twice.
document.addEventListener("htmx:before:request", (event) => {
  const url = event.target.getAttribute?.("hx-get") ?? "";
  const match = url.match(/\/admin\/payments\/(\w+)\/refunds\/new$/);
  const open = match && document.getElementById(`refund-${match[1]}`);
  if (open) {
    event.preventDefault();
    open.querySelector("input:not([type=hidden])").focus();
  }
});

// Back out of the browser's memory: what it shows may be long over, so ask again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
