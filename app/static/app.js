// The few things HTML and htmx cannot say. No inline handlers: the CSP forbids them.
const won = (amount) => `₩${amount.toLocaleString("ko-KR")}`;

document.addEventListener("click", async (event) => {
  event.target.closest("[data-dismiss]")?.closest("#notice").replaceChildren();
  const close = event.target.closest("[data-close]");
  if (close) shut(close.dataset.close, event);
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
  if (event.key !== "Escape") return;
  const row = event.target.closest(".refund-row");
  const typed = row && [...row.querySelectorAll("input:not([type=hidden])")].some((input) => input.value);
  if (row && !typed) shut(row.id, event);
  else document.getElementById("notice").replaceChildren();
});

// A refund row closes; focus goes back to the button that opened it.
function shut(id, event) {
  const row = document.getElementById(id);
  if (!row?.matches("tr")) return;
  event.preventDefault();
  row.previousElementSibling?.querySelector("a[hx-get]")?.focus();
  row.remove();
}

// What a refund will do, before it is done.
document.addEventListener("input", (event) => {
  const form = event.target.name === "amount" && event.target.closest("[data-remaining]");
  if (!form) return;
  const remaining = Number(form.dataset.remaining);
  const amount = Number(event.target.value.replace(/[₩,\s원]/g, "") || remaining);
  form.querySelector("output").textContent =
    amount === remaining ? `${won(remaining)} 전액을 돌려주고 구매자의 프롬프트를 바로 닫습니다.`
    : amount > 0 && amount < remaining ? `${won(amount)}을 돌려주고 ${won(remaining - amount)}이 남습니다. 프롬프트는 열려 있습니다.`
    : `${won(remaining)}까지 환불할 수 있습니다.`;
});

// No answer at all: say so where every notice stands.
document.addEventListener("htmx:error", (event) => {
  if (event.target.closest?.("[hx-sse\\:connect]")) return live("off");
  const sentence = document.getElementById("unreachable").content.cloneNode(true);
  document.getElementById("notice").replaceChildren(sentence);
});

// The live list says whether it is live, and a row that has changed lights up once.
function live(state) {
  document.getElementById("payments")?.setAttribute("data-live", state);
}
document.addEventListener("htmx:sse:after:connection", () => live("on"));
document.addEventListener("htmx:sse:error", () => live("off"));
document.addEventListener("htmx:sse:after:message", (event) => {
  const id = event.detail.message.data.match(/<tr id="(payment-\w+)"/)?.[1];
  document.getElementById(id)?.classList.add("is-fresh");
  document.querySelectorAll("#more ~ tr").forEach((row) => row.remove()); // what belongs further down comes with it
});
document.addEventListener("animationend", (event) => {
  if (event.animationName === "flash") event.target.closest("tr").classList.remove("is-fresh");
});

// What was pressed is gone: focus goes on to what came in its place.
document.addEventListener("htmx:after:swap", (event) => {
  const id = event.detail.ctx.target?.id ?? "";
  if (document.activeElement !== document.body) return;
  if (id.startsWith("refund-")) document.getElementById(id.replace("refund", "payment"))?.querySelector("a").focus();
  const target = document.getElementById(id);
  if (!target?.matches("section")) return;
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
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
