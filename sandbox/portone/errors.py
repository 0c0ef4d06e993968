"""Every error type of PortOne V2 with its status and sentence: one table (pg/portone.md §5)."""

import json
from typing import Any

from starlette.responses import Response


class Refused(Exception):
    def __init__(self, kind: str, pg_code: str | None = None, why: str = "") -> None:
        super().__init__(kind)
        self.kind, self.pg_code, self.why = kind, pg_code, why


ERRORS: dict[str, tuple[int, str]] = {
    "INVALID_REQUEST": (400, "요청된 입력 정보가 유효하지 않습니다."),
    "INVALID_PAYMENT_TOKEN": (400, "결제 토큰이 유효하지 않습니다."),
    "MAX_TRANSACTION_COUNT_REACHED": (400, "결제 시도 횟수가 최대에 도달했습니다."),
    "MAX_WEBHOOK_RETRY_COUNT_REACHED": (400, "웹훅 재발송 횟수가 최대에 도달했습니다."),
    "DISCOUNT_AMOUNT_EXCEEDS_TOTAL_AMOUNT": (400, "할인 금액이 결제 총 금액을 초과했습니다."),
    "NEGATIVE_PROMOTION_ADJUSTED_CANCEL_AMOUNT": (400, "프로모션 적용 취소 금액이 음수입니다."),
    "PROMOTION_DISCOUNT_RETAIN_OPTION_SHOULD_NOT_BE_CHANGED": (400, "할인 유지 여부를 바꿀 수 없습니다."),
    "UNAUTHORIZED": (401, "인증 정보가 올바르지 않습니다."),
    "FORBIDDEN": (403, "요청이 거절되었습니다."),
    "PAYMENT_NOT_FOUND": (404, "결제 건이 존재하지 않습니다."),
    "CHANNEL_NOT_FOUND": (404, "요청된 채널이 존재하지 않습니다."),
    "WEBHOOK_NOT_FOUND": (404, "웹훅 내역이 존재하지 않습니다."),
    "ALREADY_PAID": (409, "결제가 이미 완료되었습니다."),
    "INFORMATION_MISMATCH": (409, "결제 건의 정보와 요청된 정보가 일치하지 않습니다."),
    "PAYMENT_NOT_PAID": (409, "결제가 완료되지 않았습니다."),
    "PAYMENT_ALREADY_CANCELLED": (409, "결제가 이미 취소되었습니다."),
    "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN": (409, "취소 가능 잔액 검증에 실패했습니다."),
    "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT": (409, "취소 금액이 취소 가능 금액을 초과했습니다."),
    "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT": (409, "취소 면세 금액이 너무 큽니다."),
    "CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT": (409, "취소 과세 금액이 너무 큽니다."),
    "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT": (409, "하위 항목들의 합이 취소 금액을 초과했습니다."),
    "SUM_OF_PARTS_EXCEEDS_TOTAL_AMOUNT": (409, "하위 항목들의 합이 전체 결제 금액을 초과했습니다."),
    "MAX_CANCEL_COUNT_REACHED": (409, "취소 횟수가 최대에 도달했습니다."),
    "PAYMENT_NOT_WAITING_FOR_DEPOSIT": (409, "결제 건이 입금 대기 상태가 아닙니다."),
    "IDEMPOTENCY_OUTSTANDING_REQUEST": (409, "같은 멱등 키의 요청이 아직 처리 중입니다."),
    "PG_PROVIDER": (502, "PG사에서 오류를 전달했습니다."),
}

# What the PG behind PortOne says when it declines, at the window or at a manual confirm.
PG_MESSAGES = {
    "PAY_PROCESS_CANCELED": "사용자가 결제를 취소하였습니다",
    "PAY_PROCESS_ABORTED": "결제 진행 중 승인에 실패하여 결제가 중단되었습니다.",
    "REJECT_CARD_PAYMENT": "한도초과 혹은 잔액부족으로 결제에 실패했습니다.",
    "REJECT_ACCOUNT_PAYMENT": "잔액부족으로 결제에 실패했습니다.",
    "INVALID_STOPPED_CARD": "정지된 카드 입니다.",
    "EXCEED_MAX_REFUND_DUE": "환불 가능한 기간이 지났습니다.",
}

# What requestPayment throws before a window opens (§6).
THROWN = {
    "BadRequest": "결제 요청 파라미터가 올바르지 않습니다.",
    "StoreNotFound": "상점을 찾을 수 없습니다.",
    "ChannelNotFound": "채널을 찾을 수 없습니다.",
    "PaymentAlreadyPaid": "이미 결제된 결제 건입니다.",
    "AmountNotEqualToPredefined": "사전 등록된 결제 금액과 일치하지 않습니다.",
    "PaymentNotFound": "결제 건을 찾을 수 없습니다.",
    "TransactionNotFound": "결제 시도를 찾을 수 없습니다.",
    "InvalidEntityState": "이미 끝난 결제 시도입니다.",
}


def pg_message(code: str) -> str:
    return PG_MESSAGES.get(code, "PG사에서 결제를 거절했습니다.")


def refusal(refused: Refused, wordy: bool = True) -> Response:
    """The API's answer. A type that the table does not know is a 400."""
    status, message = ERRORS.get(refused.kind, (400, "처리하지 못한 요청입니다."))
    body: dict[str, Any] = {"type": refused.kind}
    if wordy:
        body["message"] = refused.why or message
    if refused.kind == "PG_PROVIDER":
        code = refused.pg_code or "PROVIDER_ERROR"
        body |= {"pgCode": code, "pgMessage": pg_message(code)}
    return Response(json.dumps(body, ensure_ascii=False), status, media_type="application/json")
