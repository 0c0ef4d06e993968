// The operator's console: the live list that leaves your place alone, refunds that say what they will do, and keys.
const won = (amount) => `₩${amount.toLocaleString("ko-KR")}`;
const byId = (id) => document.getElementById(id);
const inRows = (selector) => document.querySelectorAll(`#payment-rows > ${selector}`);

// ── Live: what changes lights up once, what is new waits while somebody works here, what no longer fits leaves ──

function live(state) {
  byId("payments")?.setAttribute("data-live", state);
}
document.addEventListener("htmx:sse:after:connection", () => live("on"));
document.addEventListener("htmx:sse:error", () => live("off"));
document.addEventListener("htmx:error", (event) => {
  if (event.target.closest?.("[hx-sse\\:connect]")) live("off");
});

// Scrolled, selected, or typing: then nothing may push the rows down.
function atWork() {
  const rows = byId("payment-rows");
  const marked = getSelection();
  return rows.getBoundingClientRect().top < 0
    || rows.querySelector("input:checked, .refund-row, a:hover, label:hover")
    || (!marked.isCollapsed && rows.contains(marked.anchorNode));
}

document.addEventListener("htmx:sse:before:message", ({ detail }) => {
  const place = detail.message.data.match(/hx-target="#payment-rows" hx-swap="([^"]+)"/);
  if (!place) return;
  if (!atWork()) return detail.waitUntil(letIn());
  byId("waiting-rows").dataset.swap = place[1];
  detail.message.data = detail.message.data.replaceAll('"#payment-rows"', '"#waiting-rows"');
});

document.addEventListener("htmx:sse:after:message", ({ detail: { message: { data } } }) => {
  for (const [, id] of data.matchAll(/<tr id="(payment-\w+)"/g)) byId(id)?.classList.add("is-fresh");
  for (const [, id] of data.matchAll(/data-leaves hx-target="#(payment-\w+)"/g)) byId(id)?.classList.add("is-leaving");
  inRows("#more ~ tr").forEach((further) => further.remove()); // what belongs further down comes with it
  tellWaiting();
});

function tellWaiting() {
  const pill = byId("arrivals"), count = byId("waiting-rows").childElementCount;
  pill.hidden = !count;
  pill.textContent = `새 결제 ${count}건`;
}

function letIn() {
  const waiting = byId("waiting-rows");
  if (!waiting.childElementCount) return;
  const [target, swap, text] = [byId("payment-rows"), waiting.dataset.swap, waiting.innerHTML];
  waiting.replaceChildren();
  tellWaiting();
  return htmx.swap({ sourceElement: target, target, swap, text });
}

// A row that no longer fits has shown what became of it. It stays as long as somebody works on it.
function letGo() {
  inRows(".is-leaving:not(.is-fresh)").forEach((row) => {
    const inUse = row.contains(document.activeElement) || row.querySelector("input:checked") || below(row).length;
    if (!inUse) row.remove();
  });
}
document.addEventListener("animationend", (event) => {
  if (event.animationName === "flash") event.target.closest("tr").classList.remove("is-fresh");
  letGo();
});
for (const kind of ["focusin", "change"]) document.addEventListener(kind, letGo);

// ── Rows: one is current, others are picked, and below one a form or its details may be open ──

let current = ""; // the id of the row that was worked on last
const openers = new Map(); // what had focus when a row below was opened
const rowOf = (element) => {
  let row = element.closest("#payment-rows > tr");
  while (row && !row.dataset.status) row = row.previousElementSibling;
  return row;
};
const below = (row) => {
  const found = [];
  for (let next = row?.nextElementSibling; next?.matches(".refund-row, .detail-row"); next = next.nextElementSibling) found.push(next);
  return found;
};
document.addEventListener("focusin", (event) => {
  current = rowOf(event.target)?.id ?? current;
  if (event.target.name === "amount") event.target.select();
});

function step(by) {
  const rows = [...inRows("tr[data-status]")];
  const at = rows.indexOf(byId(current));
  const next = rows[at < 0 ? 0 : at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

// What is open already is not opened twice: a form gets focus, details close.
document.addEventListener("htmx:before:request", (event) => {
  const id = event.target.dataset?.opens;
  const open = byId(id);
  if (!open) return id && openers.set(id, document.activeElement);
  event.preventDefault();
  if (open.matches(".refund-row")) open.querySelector("[name=amount]").focus();
  else shut(open);
});

function shut(row) {
  const payment = rowOf(row);
  row.remove();
  goBack(row.id, payment);
}

function goBack(id, payment) {
  const opener = openers.get(id);
  (opener?.isConnected && opener !== document.body ? opener : payment?.querySelector("a"))?.focus();
}

let lastPicked = null;
function pick(box, range) {
  const boxes = [...document.querySelectorAll("#payment-rows .pick input")];
  const [from, to] = [boxes.indexOf(lastPicked), boxes.indexOf(box)].sort((a, b) => a - b);
  if (range && from >= 0) boxes.slice(from, to + 1).forEach((other) => { other.checked = box.checked; });
  lastPicked = box;
}

function tellPicked() {
  const count = document.querySelectorAll("#payment-rows .pick input:checked").length;
  const told = byId("picked-count");
  if (told) told.textContent = count ? `${count}건을 골랐습니다` : "";
}

// ── What is in doubt is asked about again: the seconds until then run down, on one clock for all rows ──

const due = new WeakMap(); // of a row's <time>: what it said last, and when that will be
let clock = 0;
function countDown() {
  const times = document.querySelectorAll("#payment-rows .asks time");
  times.forEach((time) => {
    if (due.get(time)?.at !== time.dateTime) {
      due.set(time, { at: time.dateTime, when: performance.now() + parseInt(time.textContent, 10) * 1000 });
    }
    const left = Math.max(0, Math.round((due.get(time).when - performance.now()) / 1000));
    if (!document.hidden) time.textContent = `${left}초`;
  });
  clock = times.length ? setTimeout(countDown, 1000) : 0;
}
const wind = () => clock || countDown();
wind();
for (const change of ["htmx:after:swap", "htmx:sse:after:message"]) document.addEventListener(change, wind);

// ── Refunds: before the button is pressed, it says what it will do ──

function foresee(form) {
  const [remaining, alone] = [Number(form.dataset.remaining), Number(form.dataset.alone)];
  const typed = form.elements.amount.value.normalize("NFKC").replace(/[₩,\s원]/g, "");
  const amount = typed ? Number(typed) : remaining;
  const possible = Number.isInteger(amount) && amount > 0 && amount <= remaining;
  const deed = form.querySelector(".deed");
  form.querySelector("[role=status]").textContent = possible
    ? `환불 후 잔액 ${won(remaining - amount)} · ${amount === remaining ? "이용권 회수됨" : "이용권 유지"}`
      + (amount > alone ? " · 두 번째 사람의 승인이 필요합니다" : "")
    : `${won(remaining)}까지 환불할 수 있습니다.`;
  deed.textContent = possible ? won(amount) : "";
  form.querySelector(".verb").textContent = amount > alone && possible ? "승인 요청하기" : "환불하기";
  deed.closest("button").disabled = !possible;
}
const foreseeAll = () => document.querySelectorAll("form[data-remaining]").forEach(foresee);
foreseeAll();
document.addEventListener("input", (event) => {
  const form = event.target.name === "amount" && event.target.closest("[data-remaining]");
  if (form) foresee(form);
});

// ── The way back leads to the list as it was left: its filter and its page, also after a form was sent here ──

const back = document.querySelector("[data-back]");
if (back) {
  const came = new URL(document.referrer || location.href);
  if (came.origin === location.origin && came.pathname === back.pathname) sessionStorage.setItem("list", came.search);
  back.search = sessionStorage.getItem("list") ?? "";
}

// ── What is pressed ──

document.addEventListener("click", async (event) => {
  const on = (selector) => event.target.closest(selector);
  if (on("[data-step]")) step(Number(on("[data-step]").dataset.step));
  if (on(".pick input")) pick(event.target, event.shiftKey);
  if (on("[data-pick]")) {
    const all = on("[data-pick]").dataset.pick === "all";
    document.querySelectorAll("#payment-rows .pick input").forEach((box) => { box.checked = all; });
    if (!all) byId("matching").replaceChildren();
  }
  tellPicked();
  const close = byId(on("[data-close]")?.dataset.close);
  if (close?.matches("tr")) {
    event.preventDefault();
    shut(close);
  }
  if (on("#arrivals")) {
    await letIn();
    byId("payments").scrollIntoView();
    current = "";
    step(1);
  }
});

// ── Keys: each presses the control that names it in aria-keyshortcuts, in the current row first ──

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return leave(event);
  if (event.target.matches("select, textarea, input:not([type=checkbox])")) return;
  // A Korean keyboard gives ㄱ for r: then the key's place counts.
  const key = /^[a-z/?]$|^Enter$/i.test(event.key) ? event.key : event.code.replace("Key", "");
  const row = rowOf(event.target);
  if (key === "Enter" && event.target !== row) return; // a link or button has its own
  const name = `[aria-keyshortcuts="${key.length === 1 ? key.toLowerCase() : key}"]`;
  const control = row?.querySelector(name) ?? document.querySelector(`${name}:not(tr *)`);
  if (!control && row && key.toLowerCase() === "r") tellWhyNot(row);
  if (!control) return;
  event.preventDefault();
  if (control.matches("select, [type=search]")) control.focus();
  else control.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
});

function tellWhyNot(row) {
  const notice = byId("unreachable").content.cloneNode(true);
  const states = [...row.querySelectorAll(".state .pill")].map((pill) => pill.firstChild.textContent);
  notice.querySelector("span").textContent = `지금은 환불할 수 없는 결제입니다 · ${states.join(" · ")}`;
  byId("notice").replaceChildren(notice);
}

// Escape closes what is open here, and leads from the search back to the row. What was typed is not thrown away.
function leave(event) {
  const field = event.target;
  if (field.matches("[type=search]")) {
    if (field.value) return; // the browser empties it
    byId(current)?.focus();
    return event.preventDefault();
  }
  const open = field.closest(".refund-row, .detail-row") ?? below(rowOf(field)).at(-1);
  if (!open) return;
  event.preventDefault();
  const typed = [...open.querySelectorAll("input:not([type=hidden])")].some((input) => input.value !== input.defaultValue);
  if (!typed) shut(open);
}

// Enter in the search leads to the first row that was found.
let searched = false;
document.addEventListener("submit", (event) => {
  searched = event.target.matches("[role=search]");
});
document.addEventListener("htmx:after:swap", (event) => {
  const id = event.detail.ctx.target?.id ?? "";
  foreseeAll();
  if (id === "payments" && searched) {
    searched = false;
    current = "";
    step(1);
  }
  if (id.startsWith("refund-") && document.activeElement === document.body) goBack(id, byId(id.replace("refund", "payment")));
});
