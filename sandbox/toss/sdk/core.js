// What both SDKs share: ask the sandbox for a payment, show its window, hear how it ended.
// Runs on the merchant's page under a strict CSP: no markup strings, no style attributes, only properties.

const script = document.currentScript || document.querySelector('script[src*="/toss/v"]');
const base = script.src.replace(/\/toss\/v[12](\/.*)?([?#].*)?$/, "");
const origin = new URL(base).origin;
const MOBILE = /Mobi|Android|iPhone|iPad|iPod/i;

let running = null; // one request at a time

function failure(code, message, name) {
  const error = new Error(message);
  error.code = code;
  if (name) error.name = name;
  return error;
}

function style(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
}

// Every argument is checked by the sandbox, which answers with the SDK's own codes.
async function ask(request) {
  let answer, body;
  try {
    answer = await fetch(base + "/toss/_open", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
      credentials: "omit",
    });
    body = await answer.json();
  } catch {
    throw failure("UNKNOWN", "결제창을 열지 못했습니다. 잠시 후 다시 시도해주세요.");
  }
  if (!answer.ok) throw failure(body.code, body.message);
  return body;
}

function requestPayment(asked) {
  if (!asked || typeof asked !== "object") {
    return Promise.reject(failure("INVALID_PARAMETERS", "결제 요청 파라미터가 필요합니다."));
  }
  if (running) {
    return Promise.reject(failure("INVALID_METHOD_TRANSACTION", "이미 진행 중인 결제 요청이 있습니다."));
  }
  const mobile = MOBILE.test(navigator.userAgent);
  const promises = asked.successUrl == null && asked.failUrl == null;
  if (promises && (mobile || asked.windowTarget === "self")) {
    return Promise.reject(failure("NOT_SUPPORTED_PROMISE", "이 환경에서는 successUrl과 failUrl이 필요합니다."));
  }
  const wanted = asked.windowTarget == null ? "iframe" : asked.windowTarget;
  const request = { ...asked, windowTarget: mobile && wanted === "iframe" ? "self" : wanted };
  return new Promise((resolve, reject) => run(request, resolve, reject));
}

function run(request, resolve, reject) {
  const mine = { close() {}, reject: (error) => end(() => reject(error)) };
  running = mine;

  function end(settle) {
    if (running !== mine) return;
    running = null;
    mine.close();
    settle();
  }

  function leave(url) {
    end(() => {
      window.location.assign(url);
      resolve();
    });
  }

  function hear(message) {
    if (message.error) mine.reject(failure(message.error.code, message.error.message));
    else if (message.redirect) leave(message.redirect);
    else if (message.result) end(() => resolve(message.result));
  }

  function enter(payment) {
    if (running !== mine) return; // destroyed meanwhile
    const url = base + "/toss/_window/" + encodeURIComponent(payment.paymentKey);
    if (request.windowTarget === "self") leave(url);
    else mine.close = show(url, payment.paymentKey, hear);
  }

  ask(request).then(enter).catch(mine.reject);
}

function destroy() {
  if (!running) {
    throw failure("NO_ACTIVE_PAYMENT_REQUEST", "진행 중인 결제가 없습니다.", "NoActivePaymentRequestError");
  }
  running.reject(failure("PAYMENT_REQUEST_ABORTED", "결제 요청이 중단되었습니다.", "PaymentRequestAbortedError"));
}

// Lays the window over the page; answers how to take it away.
function show(url, paymentKey, hear) {
  const dialog = document.createElement("dialog");
  const frame = document.createElement("iframe");
  const before = document.documentElement.style.getPropertyValue("overflow");
  dialog.setAttribute("aria-label", "토스페이먼츠 결제창");
  frame.title = "토스페이먼츠 결제창";
  frame.src = url;
  frame.allow = "payment";
  style(dialog, {
    width: "100vw", height: "100vh", "max-width": "none", "max-height": "none", margin: "0", padding: "0",
    border: "0", inset: "0", overflow: "hidden", background: "rgb(15 20 30 / 55%)", "z-index": "2147483647",
  });
  style(frame, {
    position: "absolute", inset: "0", margin: "auto", border: "0", "border-radius": "16px", background: "Canvas",
    width: "min(100%, 480px)", height: "min(100%, 760px)", "color-scheme": "light dark",
  });

  function listen(event) {
    if (event.source !== frame.contentWindow || event.origin !== origin) return;
    if (event.data && event.data.tossPayments === paymentKey) hear(event.data);
  }
  function cancel(event) {
    event.preventDefault();
    hear({ error: { code: "USER_CANCEL", message: "취소되었습니다." } });
  }

  window.addEventListener("message", listen);
  dialog.addEventListener("cancel", cancel); // the Escape key
  frame.addEventListener("load", () => frame.focus());
  dialog.append(frame);
  document.body.append(dialog);
  document.documentElement.style.setProperty("overflow", "hidden");
  dialog.showModal();

  return () => {
    window.removeEventListener("message", listen);
    document.documentElement.style.setProperty("overflow", before);
    dialog.close();
    dialog.remove();
  };
}
