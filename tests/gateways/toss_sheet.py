"""Toss Payments' fact sheet (pg/toss.md) as data: the answers of §3.3 and the codes of §4, copied by hand.

What app/gateways/toss.py believes is compared with this, never with itself. D declined for good, C our configuration,
T not processed and may be tried again, U unknown, I in flight; "-" where the sheet gives no class.
"""

from typing import Any, NamedTuple

Body = dict[str, Any]


class Row(NamedTuple):
    call: str
    status: int
    code: str
    letters: str


# §4.3. The one row whose status the sheet does not know stands under 409, beside the other code of its kind.
CONFIRM = """
    400 ALREADY_PROCESSED_PAYMENT U
    400 PROVIDER_ERROR T/U
    400 CARD_PROCESSING_ERROR U
    400 UNAPPROVED_ORDER_ID U
    400 NOT_AVAILABLE_PAYMENT T
    400 INVALID_REQUEST D/C
    400 INVALID_API_KEY C
    400 INVALID_IDEMPOTENCY_KEY C
    400 NOT_FOUND_TERMINAL_ID C
    400 INVALID_UNREGISTERED_SUBMALL C
    400 NOT_REGISTERED_BUSINESS C
    400 INVALID_AUTHORIZE_AUTH C
    400 BELOW_MINIMUM_AMOUNT D
    400 INVALID_CARD_NUMBER D
    400 INVALID_CARD_EXPIRATION D
    400 INVALID_STOPPED_CARD D
    400 INVALID_REJECT_CARD D
    400 INVALID_CARD_LOST_OR_STOLEN D
    400 EXCEED_MAX_AMOUNT D
    400 EXCEED_MAX_DAILY_PAYMENT_COUNT D
    400 EXCEED_MAX_PAYMENT_AMOUNT D
    400 EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT D
    400 EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT D
    400 EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT D
    400 EXCEED_MAX_CARD_INSTALLMENT_PLAN D
    400 INVALID_CARD_INSTALLMENT_PLAN D
    400 NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT D
    400 NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN D
    400 NOT_ALLOWED_POINT_USE D
    400 RESTRICTED_TRANSFER_ACCOUNT D
    400 INVALID_ACCOUNT_INFO_RE_REGISTER D
    401 UNAUTHORIZED_KEY C
    403 REJECT_CARD_PAYMENT D
    403 REJECT_CARD_COMPANY D
    403 REJECT_ACCOUNT_PAYMENT D
    403 REJECT_TOSSPAY_INVALID_ACCOUNT D
    403 EXCEED_MAX_AUTH_COUNT D
    403 EXCEED_MAX_ONE_DAY_AMOUNT D
    403 INVALID_PASSWORD D
    403 FDS_ERROR D
    403 NOT_AVAILABLE_BANK T
    403 FORBIDDEN_REQUEST C
    403 INCORRECT_BASIC_AUTH_FORMAT C
    404 NOT_FOUND_PAYMENT D
    404 NOT_FOUND_PAYMENT_SESSION D
    409 IDEMPOTENT_REQUEST_PROCESSING I
    409 ALREADY_PROCESSING_REQUEST I
    500 FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING U
    500 FAILED_INTERNAL_SYSTEM_PROCESSING U
    500 UNKNOWN_PAYMENT_ERROR U
"""

# §4.4
FIND = """
    400 NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN_BELOW_AMOUNT -
    401 UNAUTHORIZED_KEY -
    403 FORBIDDEN_CONSECUTIVE_REQUEST T
    403 INCORRECT_BASIC_AUTH_FORMAT -
    404 NOT_FOUND_PAYMENT -
    404 NOT_FOUND -
    500 FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING -
"""

# §4.5
CANCEL = """
    400 ALREADY_CANCELED_PAYMENT U/done
    400 INVALID_REFUND_ACCOUNT_INFO D
    400 EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT D
    400 INVALID_REQUEST D
    400 INVALID_REFUND_ACCOUNT_NUMBER D
    400 INVALID_BANK D
    400 NOT_MATCHES_REFUNDABLE_AMOUNT U
    400 PROVIDER_ERROR T/U
    400 REFUND_REJECTED D
    400 ALREADY_REFUND_PAYMENT U/done
    400 FORBIDDEN_BANK_REFUND_REQUEST D
    401 UNAUTHORIZED_KEY C
    403 NOT_CANCELABLE_AMOUNT D
    403 NOT_CANCELABLE_PAYMENT D
    403 FORBIDDEN_CONSECUTIVE_REQUEST T
    403 FORBIDDEN_REQUEST C
    403 EXCEED_MAX_REFUND_DUE D
    403 NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT D
    403 NOT_ALLOWED_PARTIAL_REFUND D
    403 NOT_AVAILABLE_BANK T
    403 INCORRECT_BASIC_AUTH_FORMAT C
    403 NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER D
    403 EXCEED_CANCEL_LIMIT D
    404 NOT_FOUND_PAYMENT D
    500 FAILED_INTERNAL_SYSTEM_PROCESSING U
    500 FAILED_REFUND_PROCESS U
    500 FAILED_METHOD_HANDLING_CANCEL U
    500 FAILED_PARTIAL_REFUND U
    500 COMMON_ERROR U
    500 FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING U
"""


def _rows(call: str, table: str) -> list[Row]:
    lines = (line.split() for line in table.strip().splitlines())
    return [Row(call, int(status), code, letters) for status, code, letters in lines]


ROWS = [*_rows("confirm", CONFIRM), *_rows("find", FIND), *_rows("cancel", CANCEL)]

# §3.3, in the order of the sheet. (a) is a real capture; the others change what the sheet says they change.
EASY_PAY: Body = {
    "mId": "tgen_docs",
    "lastTransactionKey": "txrd_a01jwbbjdnsn9xbgy96k7m7ce57",
    "paymentKey": "tgen_20250528204823hWav3",
    "orderId": "MC4xNTU3MDQ1MDk3Njkx",
    "orderName": "토스 티셔츠 외 2건",
    "taxExemptionAmount": 0,
    "status": "DONE",
    "requestedAt": "2025-05-28T20:48:23+09:00",
    "approvedAt": "2025-05-28T20:48:46+09:00",
    "useEscrow": False,
    "cultureExpense": False,
    "card": None,
    "virtualAccount": None,
    "transfer": None,
    "mobilePhone": None,
    "giftCertificate": None,
    "cashReceipt": None,
    "cashReceipts": None,
    "discount": None,
    "cancels": None,
    "secret": "ps_AQ92ymxN341NYWKMRym4VajRKXvd",
    "type": "NORMAL",
    "easyPay": {"provider": "토스페이", "amount": 50000, "discountAmount": 0},
    "country": "KR",
    "failure": None,
    "isPartialCancelable": True,
    "receipt": {
        "url": "https://dashboard.tosspayments.com/receipt/redirection?transactionId=tgen_20250528204823hWav3&ref=PX"
    },
    "checkout": {"url": "https://api.tosspayments.com/v1/payments/tgen_20250528204823hWav3/checkout"},
    "currency": "KRW",
    "totalAmount": 50000,
    "balanceAmount": 50000,
    "suppliedAmount": 45455,
    "vat": 4545,
    "taxFreeAmount": 0,
    "method": "간편결제",
    "version": "2022-11-16",
    "metadata": None,
}
CARD: Body = EASY_PAY | {
    "method": "카드",
    "easyPay": None,
    "card": {
        "issuerCode": "15",
        "acquirerCode": "11",
        "number": "53651015****136*",
        "installmentPlanMonths": 0,
        "isInterestFree": False,
        "interestPayer": None,
        "approveNo": "21264402",
        "useCardPoint": False,
        "cardType": "체크",
        "ownerType": "개인",
        "acquireStatus": "READY",
        "amount": 10000,
    },
    "totalAmount": 10000,
    "balanceAmount": 10000,
    "suppliedAmount": 9091,
    "vat": 909,
}
VIRTUAL_ACCOUNT: Body = EASY_PAY | {
    "status": "WAITING_FOR_DEPOSIT",
    "approvedAt": None,
    "easyPay": None,
    "virtualAccount": {
        "accountNumber": "X9018612307559",
        "accountType": "일반",
        "bankCode": "11",
        "customerName": "김찐",
        "dueDate": "2025-04-13T23:28:59+09:00",
        "expired": False,
        "settlementStatus": "INCOMPLETED",
        "refundStatus": "NONE",
        "refundReceiveAccount": None,
    },
    "secret": "ps_GjLJoQ1aVZ965EbZMQy13w6KYe2R",
    "method": "가상계좌",
    "totalAmount": 11111,
    "balanceAmount": 11111,
    "suppliedAmount": 10101,
    "vat": 1010,
}


def given_back(amount: int, left: int, transaction: str) -> Body:
    """One element of `cancels`."""
    return {
        "transactionKey": transaction,
        "cancelReason": "테스트 결제 취소",
        "taxExemptionAmount": 0,
        "canceledAt": "2024-02-13T12:20:23+09:00",
        "transferDiscountAmount": 0,
        "easyPayDiscountAmount": 0,
        "receiptKey": None,
        "cancelAmount": amount,
        "taxFreeAmount": 0,
        "refundableAmount": left,
        "cancelStatus": "DONE",
        "cancelRequestId": None,
    }


CANCELED: Body = CARD | {
    "status": "CANCELED",
    "totalAmount": 1000,
    "balanceAmount": 0,
    "suppliedAmount": 0,
    "vat": 0,
    "version": "2024-06-01",
    "cancels": [given_back(1000, 0, "090A796806E726BBB929F4A2CA7DB9A7")],
}
# §2.4: a part, then the rest: the word stays PARTIAL_CANCELED and the balance says 0.
PARTIAL_CANCELED: Body = CARD | {
    "status": "PARTIAL_CANCELED",
    "balanceAmount": 0,
    "suppliedAmount": 0,
    "vat": 0,
    "cancels": [given_back(3000, 7000, "txrd_a01first"), given_back(7000, 0, "txrd_a01second")],
}
EXPIRED: Body = EASY_PAY | {
    "status": "EXPIRED",
    "failure": {"code": "EXPIRED_PAYMENT", "message": "결제가 만료되었습니다. 다시 시도해주세요."},
    "approvedAt": None,
    "easyPay": None,
    "lastTransactionKey": None,
    "method": None,
    "receipt": None,
    "secret": None,
    "transactionKey": None,
    "useEscrow": None,
}
ABORTED: Body = CARD | {
    "status": "ABORTED",
    "approvedAt": None,
    "failure": {"code": "COMMON_ERROR", "message": "일시적인 오류가 발생했습니다. 잠시 후 다시 시도해주세요."},
}
