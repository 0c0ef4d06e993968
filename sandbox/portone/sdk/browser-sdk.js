// PortOne V2: PortOne.requestPayment({storeId, channelKey, paymentId, …}) (pg/portone.md §6)

const script = document.currentScript || document.querySelector('script[src*="/v2/browser-sdk"]');
const base = script.src.replace(/\/v2\/browser-sdk\.js.*$/, "");

// Errors before the window opens are thrown, and never redirected.
function paymentError(error, paymentId) {
  const details = { transactionType: "PAYMENT", paymentId, __portOneErrorType: "PaymentError" };
  return Object.assign(failure(error.code, error.message, "PaymentError"), details);
}

function requestPayment(asked) {
  const request = asked && typeof asked === "object" ? asked : {};
  const mobile = MOBILE.test(navigator.userAgent);
  const type = (request.windowType || {})[mobile ? "mobile" : "pc"] || (mobile ? "REDIRECTION" : "IFRAME");
  const windowTarget = type === "REDIRECTION" ? "self" : "iframe";
  const refused = (error) => { throw paymentError(error, request.paymentId); };
  return ask(base + "/_open", { ...request, mobile, windowTarget }).then((payment) => enter(payment, windowTarget), refused);
}

function enter(payment, windowTarget) {
  if (windowTarget === "self") {
    window.location.assign(payment.window);
    return undefined;
  }
  return new Promise((resolve) => {
    const close = show("포트원 결제창", payment.window, hear, escape);

    function hear(message) {
      if (message.portone === payment.paymentKey) end(message);
    }
    function escape() {
      ask(payment.window + "/close", {}).then(end);
    }
    function end(ending) {
      close();
      if (ending.redirect) window.location.assign(ending.redirect);
      resolve(ending.redirect ? undefined : ending.result);
    }
  });
}

function unsupported() {
  return Promise.reject(failure("NOT_SUPPORTED_BY_SANDBOX", "샌드박스는 결제 요청만 지원합니다."));
}

window.PortOne = {
  requestPayment,
  requestIdentityVerification: unsupported,
  requestIssueBillingKey: unsupported,
  requestIssueBillingKeyAndPay: unsupported,
  loadPaymentUI: unsupported,
  loadIssueBillingKeyUI: unsupported,
};
