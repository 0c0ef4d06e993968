// What both SDKs share: ask the sandbox for a payment, show its window, hear how it ended.
// Runs on the merchant's page under a strict CSP: no markup strings, no style attributes, only properties.

const script = document.currentScript || document.querySelector('script[src*="/toss/v"]');
const base = script.src.replace(/\/toss\/v[12](\/.*)?([?#].*)?$/, "");

let running = null; // one request at a time

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
    else mine.close = show("토스페이먼츠 결제창", url, ours, escape);

    function ours(message) {
      if (message.tossPayments === payment.paymentKey) hear(message);
    }
    function escape() {
      hear({ error: { code: "USER_CANCEL", message: "취소되었습니다." } });
    }
  }

  ask(base + "/toss/_open", request).then(enter).catch(mine.reject);
}

function destroy() {
  if (!running) {
    throw failure("NO_ACTIVE_PAYMENT_REQUEST", "진행 중인 결제가 없습니다.", "NoActivePaymentRequestError");
  }
  running.reject(failure("PAYMENT_REQUEST_ABORTED", "결제 요청이 중단되었습니다.", "PaymentRequestAbortedError"));
}
