// SDK v1: TossPayments(clientKey).requestPayment("카드", {amount: 9900, …})

window.TossPayments = function TossPayments(clientKey) {
  if (typeof clientKey !== "string" || !/^(test|live)_ck_\w{3,}$/.test(clientKey)) {
    throw failure("INVALID_CLIENT_KEY", "잘못된 클라이언트 연동 정보 입니다.");
  }
  const numbered = (result) => result && { ...result, amount: result.amount.value };
  return {
    requestPayment: (method, request) =>
      requestPayment(request && { ...request, sdk: "v1", clientKey, method }).then(numbered),
    requestBillingAuth: () =>
      Promise.reject(failure("NOT_SUPPORTED_BY_SANDBOX", "샌드박스는 자동결제를 지원하지 않습니다.")),
    cancelPayment: destroy,
  };
};
