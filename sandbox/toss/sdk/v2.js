// SDK v2: TossPayments(clientKey).payment({customerKey}).requestPayment({method, amount: {currency, value}, …})

const ANONYMOUS = "@@ANONYMOUS";
const CLIENT_KEY = /^(test|live)_(g?ck)_\w{3,}$/;
const CUSTOMER_KEY = /^[A-Za-z0-9\-_=.@]{2,50}$/;
const SECRET_KEY = /(test|live)_g?sk_/;

function checkCustomer(asked) {
  const customerKey = asked && asked.customerKey;
  if (typeof customerKey !== "string") throw failure("INVALID_PARAMETERS", "customerKey가 필요합니다.");
  if (SECRET_KEY.test(customerKey)) {
    throw failure("INSECURE_KEY_USAGE", "시크릿 키는 브라우저에서 사용할 수 없습니다.");
  }
  if (customerKey !== ANONYMOUS && !CUSTOMER_KEY.test(customerKey)) {
    throw failure("INVALID_CUSTOMER_KEY", "customerKey는 영문, 숫자, -, _, =, ., @ 로 2자 이상 50자 이하여야 합니다.");
  }
  return customerKey;
}

function unsupported(what) {
  return failure("NOT_SUPPORTED_BY_SANDBOX", "샌드박스는 " + what + "을(를) 지원하지 않습니다.");
}

function TossPayments(clientKey) {
  const found = typeof clientKey === "string" && CLIENT_KEY.exec(clientKey);
  if (!found) throw failure("INVALID_CLIENT_KEY", "잘못된 클라이언트 연동 정보 입니다.");
  const widgetKey = found[2] === "gck";

  return {
    payment(asked) {
      if (widgetKey) {
        throw failure("NOT_SUPPORTED_WIDGET_KEY", "결제위젯 연동 키는 지원하지 않습니다. API 개별 연동 키를 써주세요.");
      }
      const customerKey = checkCustomer(asked);
      return {
        requestPayment(request) {
          if (typeof request === "string") {
            return Promise.reject(failure("V1_METHOD_NOT_SUPPORTED", "v1 SDK의 사용법은 v2에서 지원하지 않습니다."));
          }
          return requestPayment(request && { ...request, sdk: "v2", clientKey, customerKey });
        },
        requestBillingAuth: () => Promise.reject(unsupported("자동결제")),
        destroy,
      };
    },
    widgets() {
      if (widgetKey) throw unsupported("결제위젯");
      throw failure("NOT_SUPPORTED_API_INDIVIDUAL_KEY", "API 개별 연동 키는 지원하지 않습니다. 결제위젯 연동 키를 써주세요.");
    },
    brandpay() {
      throw unsupported("브랜드페이");
    },
    requestPayment() {
      throw failure("V1_METHOD_NOT_SUPPORTED", "v1 SDK의 사용법은 v2에서 지원하지 않습니다.");
    },
  };
}

TossPayments.ANONYMOUS = ANONYMOUS;
window.TossPayments = TossPayments;
