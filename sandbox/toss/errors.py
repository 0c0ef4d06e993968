"""Every code of Toss with its status and sentence: one table (pg/toss.md §4)."""

import json

from starlette.responses import Response


class Refused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


AGAIN = "일시적인 오류가 발생했습니다. 잠시 후 다시 시도해주세요."

ERRORS: dict[str, tuple[int, str]] = {
    # Keys and transport
    "INVALID_API_KEY": (400, "잘못된 시크릿키 연동 정보 입니다."),
    "UNAUTHORIZED_KEY": (401, "인증되지 않은 시크릿 키 혹은 클라이언트 키 입니다."),
    "INCORRECT_BASIC_AUTH_FORMAT": (403, "잘못된 요청입니다. ':' 를 포함해 인코딩해주세요."),
    "INVALID_IDEMPOTENCY_KEY": (400, "멱등키는 300자 이하여야 합니다."),
    "IDEMPOTENT_REQUEST_PROCESSING": (409, "이전 멱등 요청이 처리중입니다."),
    "INVALID_TEST_CODE": (400, "올바르지 않은 테스트 코드입니다."),
    "INVALID_REQUEST": (400, "잘못된 요청입니다."),
    "FORBIDDEN_REQUEST": (403, "허용되지 않은 요청입니다."),
    "FORBIDDEN_CONSECUTIVE_REQUEST": (403, "반복적인 요청은 허용되지 않습니다. 잠시 후 다시 시도해주세요."),
    "NOT_FOUND": (404, "존재하지 않는 정보 입니다."),
    # Confirm
    "ALREADY_PROCESSED_PAYMENT": (400, "이미 처리된 결제 입니다."),
    "ALREADY_PROCESSING_REQUEST": (400, "이미 처리중인 요청입니다."),
    "PROVIDER_ERROR": (400, AGAIN),
    "CARD_PROCESSING_ERROR": (400, "카드사에서 오류가 발생했습니다."),
    "UNAPPROVED_ORDER_ID": (400, "아직 승인되지 않은 주문번호입니다."),
    "NOT_AVAILABLE_PAYMENT": (400, "결제가 불가능한 시간대입니다."),
    "DUPLICATED_ORDER_ID": (
        400,
        "이미 승인 및 취소가 진행된 중복된 주문번호 입니다. 다른 주문번호로 진행해주세요.",
    ),
    "NOT_FOUND_TERMINAL_ID": (400, "단말기번호(Terminal Id)가 없습니다. 토스페이먼츠로 문의 바랍니다."),
    "INVALID_UNREGISTERED_SUBMALL": (
        400,
        "등록되지 않은 서브몰입니다. 서브몰이 없는 가맹점이라면 안심클릭이나 ISP 결제가 필요합니다.",
    ),
    "NOT_REGISTERED_BUSINESS": (400, "등록되지 않은 사업자 번호입니다."),
    "INVALID_AUTHORIZE_AUTH": (400, "유효하지 않은 인증 방식입니다."),
    "BELOW_MINIMUM_AMOUNT": (400, "신용카드는 결제금액이 100원 이상, 계좌는 200원이상부터 결제가 가능합니다."),
    "INVALID_CARD_NUMBER": (400, "카드번호를 다시 확인해주세요."),
    "INVALID_CARD_EXPIRATION": (400, "카드 정보를 다시 확인해주세요. (유효기간)"),
    "INVALID_STOPPED_CARD": (400, "정지된 카드 입니다."),
    "INVALID_REJECT_CARD": (400, "카드 사용이 거절되었습니다. 카드사 문의가 필요합니다."),
    "INVALID_CARD_LOST_OR_STOLEN": (400, "분실 혹은 도난 카드입니다."),
    "EXCEED_MAX_AMOUNT": (400, "거래금액 한도를 초과했습니다."),
    "EXCEED_MAX_DAILY_PAYMENT_COUNT": (400, "하루 결제 가능 횟수를 초과했습니다."),
    "EXCEED_MAX_PAYMENT_AMOUNT": (400, "하루 결제 가능 금액을 초과했습니다."),
    "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT": (400, "당월 결제 가능금액인 1,000,000원을 초과 하셨습니다."),
    "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT": (400, "1일 출금 한도를 초과했습니다."),
    "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT": (400, "1회 출금 한도를 초과했습니다."),
    "EXCEED_MAX_CARD_INSTALLMENT_PLAN": (400, "설정 가능한 최대 할부 개월 수를 초과했습니다."),
    "INVALID_CARD_INSTALLMENT_PLAN": (400, "할부 개월 정보가 잘못되었습니다."),
    "NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT": (400, "할부가 지원되지 않는 카드 또는 가맹점 입니다."),
    "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN": (400, "할부가 지원되지 않는 카드입니다."),
    "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN_BELOW_AMOUNT": (
        400,
        "5만원 이하의 결제는 할부가 불가능해서 결제에 실패했습니다.",
    ),
    "NOT_ALLOWED_POINT_USE": (400, "카드 포인트 사용이 불가한 카드로 카드 포인트 결제에 실패했습니다."),
    "RESTRICTED_TRANSFER_ACCOUNT": (400, "계좌는 등록 후 12시간 뒤부터 결제할 수 있습니다."),
    "INVALID_ACCOUNT_INFO_RE_REGISTER": (400, "유효하지 않은 계좌입니다. 계좌 재등록 후 시도해주세요."),
    "REJECT_CARD_PAYMENT": (403, "한도초과 혹은 잔액부족으로 결제에 실패했습니다."),
    "REJECT_CARD_COMPANY": (403, "결제 승인이 거절되었습니다."),
    "REJECT_ACCOUNT_PAYMENT": (403, "잔액부족으로 결제에 실패했습니다."),
    "REJECT_TOSSPAY_INVALID_ACCOUNT": (403, "선택하신 출금 계좌가 출금이체 등록이 되어 있지 않아요."),
    "EXCEED_MAX_AUTH_COUNT": (403, "최대 인증 횟수를 초과했습니다. 카드사로 문의해주세요."),
    "EXCEED_MAX_ONE_DAY_AMOUNT": (403, "일일 한도를 초과했습니다."),
    "INVALID_PASSWORD": (403, "결제 비밀번호가 일치하지 않습니다."),
    "FDS_ERROR": (403, "[토스페이먼츠] 위험거래가 감지되어 결제가 제한됩니다."),
    "NOT_AVAILABLE_BANK": (403, "은행 서비스 시간이 아닙니다."),
    "NOT_FOUND_PAYMENT": (404, "존재하지 않는 결제 정보 입니다."),
    "NOT_FOUND_PAYMENT_SESSION": (404, "결제 시간이 만료되어 결제 진행 데이터가 존재하지 않습니다."),
    "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING": (500, "결제가 완료되지 않았어요. 다시 시도해주세요."),
    "FAILED_INTERNAL_SYSTEM_PROCESSING": (500, "내부 시스템 처리 작업이 실패했습니다. 잠시 후 다시 시도해주세요."),
    "UNKNOWN_PAYMENT_ERROR": (
        500,
        "결제에 실패했어요. 같은 문제가 반복된다면 은행이나 카드사로 문의해주세요.",
    ),
    # Cancel
    "ALREADY_CANCELED_PAYMENT": (400, "이미 취소된 결제 입니다."),
    "INVALID_REFUND_ACCOUNT_INFO": (400, "환불 계좌번호와 예금주명이 일치하지 않습니다."),
    "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT": (400, "즉시할인금액보다 적은 금액은 부분취소가 불가능합니다."),
    "INVALID_REFUND_ACCOUNT_NUMBER": (400, "잘못된 환불 계좌번호입니다."),
    "INVALID_BANK": (400, "유효하지 않은 은행입니다."),
    "NOT_MATCHES_REFUNDABLE_AMOUNT": (400, "잔액 결과가 일치하지 않습니다."),
    "REFUND_REJECTED": (400, "환불이 거절됐습니다. 결제사에 문의 부탁드립니다."),
    "ALREADY_REFUND_PAYMENT": (400, "이미 환불된 결제입니다."),
    "FORBIDDEN_BANK_REFUND_REQUEST": (400, "고객 계좌가 입금이 되지 않는 상태입니다."),
    "NOT_CANCELABLE_AMOUNT": (403, "취소 할 수 없는 금액 입니다."),
    "NOT_CANCELABLE_PAYMENT": (403, "취소 할 수 없는 결제 입니다."),
    "EXCEED_MAX_REFUND_DUE": (403, "환불 가능한 기간이 지났습니다."),
    "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT": (403, "입금 대기중인 결제는 부분 환불이 불가합니다."),
    "NOT_ALLOWED_PARTIAL_REFUND": (
        403,
        "에스크로 주문, 현금 카드 결제일 때는 부분 환불이 불가합니다. 이외 다른 결제 수단에서 부분 취소가 되지 않을 "
        "때는 토스페이먼츠에 문의해 주세요.",
    ),
    "NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER": (403, "휴면 처리된 회원의 결제는 취소할 수 없습니다."),
    "EXCEED_CANCEL_LIMIT": (403, "취소 한도 금액을 초과 하였습니다."),
    "FAILED_REFUND_PROCESS": (500, "은행 응답시간 지연이나 일시적인 오류로 환불요청에 실패했습니다."),
    "FAILED_METHOD_HANDLING_CANCEL": (
        500,
        "취소 중 결제 시 사용한 결제 수단 처리과정에서 일시적인 오류가 발생했습니다.",
    ),
    "FAILED_PARTIAL_REFUND": (500, "은행 점검, 해약 계좌 등의 사유로 부분 환불이 실패했습니다."),
    "COMMON_ERROR": (500, AGAIN),
    # The window and its return
    "PAY_PROCESS_CANCELED": (400, "사용자에 의해 결제가 취소되었습니다."),
    "PAY_PROCESS_ABORTED": (400, "결제 진행 중 승인에 실패하여 결제가 중단되었습니다."),
    "EXPIRED_PAYMENT": (400, "결제가 만료되었습니다. 다시 시도해주세요."),
    "USER_CANCEL": (400, "취소되었습니다."),
    # The SDK's own
    "INVALID_PARAMETERS": (400, "필수 파라미터가 누락되었거나 형식이 올바르지 않습니다."),
    "INVALID_CLIENT_KEY": (400, "잘못된 클라이언트 연동 정보 입니다."),
    "INVALID_CUSTOMER_KEY": (
        400,
        "customerKey는 영문 대소문자, 숫자, 특수문자 -, _, =, ., @ 로 2자 이상 50자 이하여야 합니다.",
    ),
    "INSECURE_KEY_USAGE": (400, "시크릿 키는 브라우저에서 사용할 수 없습니다."),
    "INVALID_AMOUNT_CURRENCY": (400, "지원하지 않는 통화입니다."),
    "INVALID_AMOUNT_VALUE": (400, "금액은 숫자여야 합니다."),
    "BELOW_ZERO_AMOUNT": (400, "금액은 0보다 커야 합니다."),
    "INVALID_METADATA": (400, "metadata는 최대 5개, 키 40자, 값 2000자까지 쓸 수 있습니다."),
    "INCORRECT_SUCCESS_URL_FORMAT": (400, "잘못된 successUrl 입니다."),
    "INCORRECT_FAIL_URL_FORMAT": (400, "잘못된 failUrl 입니다."),
    "NOT_SUPPORTED_WIDGET_KEY": (400, "결제위젯 연동 키는 지원하지 않습니다. API 개별 연동 키를 써주세요."),
    "V1_METHOD_NOT_SUPPORTED": (400, "v1 SDK의 사용법은 v2에서 지원하지 않습니다."),
    "NOT_SUPPORTED_METHOD": (400, "지원되지 않는 결제 수단입니다."),
    "INVALID_FLOW_MODE_PARAMETERS": (400, "flowMode가 DIRECT이면 cardCompany 또는 easyPay가 필요합니다."),
    "INVALID_CARD_INSTALLMENT_PLANS_WITH_MAX_AND_SINGLE": (
        400,
        "할부 개월 수와 최대 할부 개월 수는 함께 쓸 수 없습니다.",
    ),
    "INVALID_CARD_COMPANY": (400, "유효하지 않은 카드사입니다."),
    "INVALID_EASY_PAY": (400, "유효하지 않은 간편결제입니다."),
    "INVALID_VALID_HOURS_WITH_DUE_DATE_AND_SINGLE": (400, "validHours와 dueDate는 함께 쓸 수 없습니다."),
    # Lists
    "INVALID_DATE": (400, "날짜 데이터가 잘못 되었습니다."),
    "INVALID_ISO_DATE_FORMAT": (400, "잘못된 날짜 형식입니다."),
    "EXCEED_MAX_QUERY_LIMIT": (400, "조회 가능한 최대 건수를 초과했습니다."),
    "INVALID_PAGING_KEY": (400, "잘못된 페이징 키입니다."),
}

# Known only by name and status (§4.6, §4.7): enough for TossPayments-Test-Code.
OTHERS = {
    400: """
    ACCOUNT_OWNER_CHECK_FAILED ALREADY_CLOSE_ACCOUNT ALREADY_COMPLETED_PAYMENT ALREADY_EXIST_SUBMALL
    ALREADY_REFUNDING_PAYMENT API_VERSION_UPDATE_NEEDED DUPLICATED_REQUEST EXCEED_MIN_CARD_INSTALLMENT_PLAN
    EXCEED_UNKNOWN_CASE EXCEEDS_TRANSFER_AMOUNT_MAXIMUM INVALID_ACCOUNT_NOT_CORRECT_BANK INVALID_ACCOUNT_NUMBER
    INVALID_ACCOUNT_NUMBER_OR_UNAVAILABLE INVALID_AUTHORIZE_AUTH_TYPE_GIFT_CERTIFICATE INVALID_BUSINESS_NUMBER
    INVALID_CARD INVALID_CARD_INSTALLMENT_AMOUNT INVALID_CURRENCY INVALID_IDENTIFICATION_TYPE INVALID_PAYABLE_DATE
    INVALID_PAYMENT_KEY INVALID_REFUND_AMOUNT INVALID_REQUIRED_PARAM INVALID_SUBMALL_ID INVALID_SUCCESS_URL INVALID_URL
    INVALID_URL_FORMAT MAINTAINED_METHOD NOT_ALLOWED_HOLIDAY NOT_ALLOWED_INSTALLMENT_BELOW_AMOUNT NOT_ENOUGH_AMOUNT
    NOT_MATCH_PAYEE_NAME NOT_REGISTERED_SUBMALL NOT_SUPPORTED_CARRIER NOT_SUPPORTED_PROCESS NOT_SUPPORTED_USD
    REQUIRED_AMOUNT USER_ACCOUNT_ON_HOLD NOT_SUPPORTED_CARD_TYPE NOT_MATCHES_CUSTOMER_KEY ALREADY_REMOVED_BILLING_KEY
    INVALID_BILL_KEY_REQUEST INVALID_BILLING_AUTH INVALID_CARD_PASSWORD INVALID_CARD_IDENTITY INVALID_BIRTH_DAY_FORMAT
    INVALID_EMAIL EXCEED_MAX_DUE_DATE EXCEED_MAX_VALID_HOURS INVALID_VIRTUAL_ACCOUNT_TYPE REQUIRED_ACCOUNT_KEY
    INVALID_CASH_RECEIPT_INFO INVALID_ORDER_ID INVALID_ORDER_NAME DUPLICATED_CASH_RECEIPT
    """,
    403: "EXCEED_MAX_REFUND_AMOUNT NOT_ALLOWED_CHANGING_ACCOUNT NOT_ALLOWED_REFUND_BANK NOT_SUPPORTED_REFUND",
    404: """
    NOT_FOUND_HTTP_METHOD NOT_FOUND_MERCHANT NOT_FOUND_MERCHANT_INTEGRATION NOT_FOUND_METHOD NOT_FOUND_METHOD_IN_GROUP
    NOT_FOUND_METHOD_OWNERSHIP NOT_FOUND_SUBMALL PAYOUT_NOT_FOUND NOT_FOUND_BILLING NOT_FOUND_MERCHANT_BUSINESS_NUMBER
    """,
    500: """
    FAILED_HASH_DATA_CREATION FAILED_METHOD_HANDLING UNKNOWN_ERROR FAILED_DB_PROCESSING FAILED_BILL_KEY_AUTH_CREATION
    FAILED_BILLING_AUTO_CANCEL FAILED_CARD_COMPANY_RESPONSE
    """,
}
for _status, _codes in OTHERS.items():
    ERRORS |= dict.fromkeys(_codes.split(), (_status, "잘못된 요청입니다." if _status < 500 else AGAIN))

# Answering confirm with one of these ends the payment: ABORTED. Other refusals leave it as it was.
DECLINES = frozenset(
    """
    INVALID_CARD_NUMBER INVALID_CARD_EXPIRATION INVALID_STOPPED_CARD INVALID_REJECT_CARD INVALID_CARD_LOST_OR_STOLEN
    EXCEED_MAX_AMOUNT EXCEED_MAX_DAILY_PAYMENT_COUNT EXCEED_MAX_PAYMENT_AMOUNT EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT
    EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT EXCEED_MAX_CARD_INSTALLMENT_PLAN
    INVALID_CARD_INSTALLMENT_PLAN NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN
    NOT_ALLOWED_POINT_USE RESTRICTED_TRANSFER_ACCOUNT INVALID_ACCOUNT_INFO_RE_REGISTER BELOW_MINIMUM_AMOUNT
    REJECT_CARD_PAYMENT REJECT_CARD_COMPANY REJECT_ACCOUNT_PAYMENT REJECT_TOSSPAY_INVALID_ACCOUNT EXCEED_MAX_AUTH_COUNT
    EXCEED_MAX_ONE_DAY_AMOUNT INVALID_PASSWORD FDS_ERROR
    """.split()
)


def status(code: str) -> int:
    return ERRORS.get(code, (400, ""))[0]


def message(code: str) -> str:
    return ERRORS.get(code, (400, "잘못된 요청입니다."))[1]


def refusal(code: str, http_status: int | None = None) -> Response:
    body = json.dumps({"code": code, "message": message(code)}, ensure_ascii=False, separators=(",", ":"))
    return Response(body, http_status or status(code), media_type="application/json")
