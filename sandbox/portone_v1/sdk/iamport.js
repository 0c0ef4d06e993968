// PortOne V1: IMP.init("imp00000000"), IMP.request_pay({channelKey, merchant_uid, amount, …}, callback) (pg/portone.md §14)

const script = document.currentScript || document.querySelector('script[src*="/v1/iamport"]');
const base = script.src.replace(/\/v1\/iamport\.js.*$/, "");
let impCode = null;

// Whatever happens is told to the callback; imp_uid is null when nothing has begun.
function requestPay(asked, callback) {
  const request = asked && typeof asked === "object" ? asked : {};
  const tell = (told) => { if (typeof callback === "function") callback(told); };
  const refuse = (error_code, error_msg) =>
    tell({ imp_uid: null, merchant_uid: request.merchant_uid, error_code, error_msg });
  if (!impCode) return refuse("NOT_INITIALIZED", "IMP.init을 먼저 호출해 주세요.");
  const mobile = MOBILE.test(navigator.userAgent);
  ask(base + "/_open", { ...request, impCode, mobile, windowTarget: mobile ? "self" : "iframe" }).then(
    (payment) => enter(payment, mobile, tell),
    (error) => refuse(error.code, error.message),
  );
}

function enter(payment, mobile, tell) {
  if (mobile) {
    window.location.assign(payment.window);
    return;
  }
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
    else tell(ending.result);
  }
}

window.IMP = {
  init(code) { impCode = code; },
  agency(code) { impCode = code; },
  request_pay: requestPay,
};
