"""Toss Payments: SDK v2's payment window, then confirm, find and cancel. Section numbers are those of pg/toss.md."""

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from app.clock import KST
from app.config import Settings
from app.gateways import (
    BOOK_SECONDS,
    NOT_APPROVED,
    SELLER_AT_FAULT,
    WINDOW_CLOSED,
    Account,
    Cancellation,
    Declined,
    Forged,
    Gateway,
    Handed,
    Heard,
    InDoubt,
    Method,
    Movement,
    Receipt,
    RefundAccount,
    Standing,
    Window,
    call,
    lookup_seconds,
    unreadable,
    won,
)
from app.models import Payment, Refund
from app.order_id import ORDER_ID

log = logging.getLogger(__name__)

# §4: every code of the confirm, lookup and cancel tables, once. A code that is not here is "don't know".
CODES: dict[Literal["declined", "try_again", "unknown", "configuration"], str] = {
    "declined": """
        INVALID_REQUEST BELOW_MINIMUM_AMOUNT INVALID_CARD_NUMBER INVALID_CARD_EXPIRATION INVALID_STOPPED_CARD
        INVALID_REJECT_CARD INVALID_CARD_LOST_OR_STOLEN EXCEED_MAX_AMOUNT EXCEED_MAX_DAILY_PAYMENT_COUNT
        EXCEED_MAX_PAYMENT_AMOUNT EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT
        EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT EXCEED_MAX_CARD_INSTALLMENT_PLAN INVALID_CARD_INSTALLMENT_PLAN
        NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN
        NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN_BELOW_AMOUNT NOT_ALLOWED_POINT_USE RESTRICTED_TRANSFER_ACCOUNT
        INVALID_ACCOUNT_INFO_RE_REGISTER REJECT_CARD_PAYMENT REJECT_CARD_COMPANY REJECT_ACCOUNT_PAYMENT
        REJECT_TOSSPAY_INVALID_ACCOUNT EXCEED_MAX_AUTH_COUNT EXCEED_MAX_ONE_DAY_AMOUNT INVALID_PASSWORD FDS_ERROR
        NOT_FOUND_PAYMENT NOT_FOUND_PAYMENT_SESSION INVALID_REFUND_ACCOUNT_INFO INVALID_REFUND_ACCOUNT_NUMBER
        INVALID_BANK EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT REFUND_REJECTED FORBIDDEN_BANK_REFUND_REQUEST
        NOT_CANCELABLE_AMOUNT NOT_CANCELABLE_PAYMENT EXCEED_MAX_REFUND_DUE NOT_ALLOWED_PARTIAL_REFUND
        NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER EXCEED_CANCEL_LIMIT
    """,
    "try_again": "NOT_AVAILABLE_PAYMENT NOT_AVAILABLE_BANK FORBIDDEN_CONSECUTIVE_REQUEST",
    "unknown": """
        ALREADY_PROCESSED_PAYMENT PROVIDER_ERROR CARD_PROCESSING_ERROR UNAPPROVED_ORDER_ID
        IDEMPOTENT_REQUEST_PROCESSING ALREADY_PROCESSING_REQUEST FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING
        FAILED_INTERNAL_SYSTEM_PROCESSING UNKNOWN_PAYMENT_ERROR ALREADY_CANCELED_PAYMENT
        NOT_MATCHES_REFUNDABLE_AMOUNT ALREADY_REFUND_PAYMENT FAILED_REFUND_PROCESS FAILED_METHOD_HANDLING_CANCEL
        FAILED_PARTIAL_REFUND COMMON_ERROR NOT_FOUND
    """,
    "configuration": """
        INVALID_API_KEY INVALID_IDEMPOTENCY_KEY NOT_FOUND_TERMINAL_ID INVALID_UNREGISTERED_SUBMALL
        NOT_REGISTERED_BUSINESS INVALID_AUTHORIZE_AUTH UNAUTHORIZED_KEY FORBIDDEN_REQUEST INCORRECT_BASIC_AUTH_FORMAT
    """,
}
AT_WORK = {"IDEMPOTENT_REQUEST_PROCESSING", "ALREADY_PROCESSING_REQUEST"}  # the first request will have its own answer
CLASS_OF = {code: name for name, codes in CODES.items() for code in codes.split()}

DEPOSIT_HOURS = 72  # for a virtual account; §1.2 allows 2160
CASH_RECEIPT = {"type": "소득공제"}  # what the window offers first; the buyer may choose another

# §1.2: what a method of ours is called at `requestPayment`: its `method`, and the options under its own key.
ASKED: dict[str, dict[str, Any]] = {
    "card": {"method": "CARD", "card": {"flowMode": "DEFAULT"}},
    "tosspay": {"method": "CARD", "card": {"flowMode": "DIRECT", "easyPay": "TOSSPAY"}},
    "naverpay": {"method": "CARD", "card": {"flowMode": "DIRECT", "easyPay": "NAVERPAY"}},
    "transfer": {"method": "TRANSFER", "transfer": {"cashReceipt": CASH_RECEIPT}},
    "virtual_account": {
        "method": "VIRTUAL_ACCOUNT",
        "virtualAccount": {"validHours": DEPOSIT_HOURS, "cashReceipt": CASH_RECEIPT},
    },
    "mobile": {"method": "MOBILE_PHONE"},
}

# §3.1: the two letters by which Toss knows a bank, and its name.
BANKS = dict(
    pair.split("=")
    for pair in """
        06=국민은행 88=신한은행 20=우리은행 81=하나은행 11=농협은행 03=기업은행 90=카카오뱅크 92=토스뱅크 89=케이뱅크
        71=우체국 45=새마을금고 48=신협 23=SC제일은행 31=iM뱅크 32=부산은행 39=경남은행 34=광주은행 37=전북은행
        35=제주은행 02=산업은행 07=수협은행 12=지역농축협 27=씨티은행 50=저축은행 54=HSBC 64=산림조합
    """.split()
)
CODE_OF_BANK = {name: code for code, name in BANKS.items()}

PAGE = 1000  # rows of the transaction list a call; §2.4 allows 5000

# §3.2: Toss's word -> ours.
STANDING: dict[str, Standing] = {
    "READY": "open",
    "IN_PROGRESS": "authenticated",
    "WAITING_FOR_DEPOSIT": "waiting",
    "DONE": "paid",
    "PARTIAL_CANCELED": "paid",  # whether everything went back is read from `cancels`, never from the word
    "CANCELED": "canceled",
    "ABORTED": "failed",
    "EXPIRED": "expired",
}

SENTENCES = {
    "REJECT_CARD_PAYMENT": "카드 한도를 넘었거나 잔액이 부족합니다. 다른 카드나 결제수단으로 결제해 주세요.",
    "REJECT_ACCOUNT_PAYMENT": "계좌 잔액이 부족합니다. 잔액을 확인하거나 다른 결제수단으로 결제해 주세요.",
    "REJECT_CARD_COMPANY": "카드사가 결제를 승인하지 않았습니다. 다른 카드로 결제하거나 카드사에 문의해 주세요.",
    "INVALID_STOPPED_CARD": "사용이 정지된 카드입니다. 다른 카드로 결제해 주세요.",
    "INVALID_CARD_LOST_OR_STOLEN": "분실 또는 도난 신고된 카드입니다. 다른 카드로 결제해 주세요.",
    "INVALID_CARD_EXPIRATION": "카드 유효기간을 확인해 주세요.",
    "INVALID_CARD_NUMBER": "카드번호를 확인해 주세요.",
    "INVALID_PASSWORD": "결제 비밀번호가 맞지 않습니다. 다시 결제해 주세요.",
    "BELOW_MINIMUM_AMOUNT": "이 결제수단으로 결제하기에는 금액이 너무 적습니다. 다른 결제수단을 골라 주세요.",
    "NOT_FOUND_PAYMENT_SESSION": "결제 시간이 지났습니다. 결제되지 않았으니 처음부터 다시 결제해 주세요.",
    "EXPIRED_PAYMENT": "결제 시간이 지났습니다. 결제되지 않았으니 다시 결제해 주세요.",
    "NOT_AVAILABLE_PAYMENT": "지금은 결제할 수 없는 시간대입니다. 잠시 뒤 다시 결제해 주세요.",
    "NOT_AVAILABLE_BANK": "은행 점검 시간입니다. 잠시 뒤 다시 하거나 다른 결제수단을 골라 주세요.",
    "PAY_PROCESS_CANCELED": WINDOW_CLOSED,
    "USER_CANCEL": WINDOW_CLOSED,
    "PAY_PROCESS_ABORTED": "결제가 중단되었습니다. 결제되지 않았으니 다시 결제해 주세요.",
    "SDK_NOT_LOADED": "결제창을 불러오지 못했습니다. 네트워크를 확인하고 다시 결제해 주세요.",
}
LIMIT = "카드나 계좌의 이용 한도를 넘었습니다. 다른 결제수단으로 결제해 주세요."


class Toss(Gateway):
    name = "toss"
    label = "토스페이먼츠"
    methods: ClassVar[Mapping[str, Method]] = {
        "card": Method("카드·간편결제", "신용·체크, 삼성페이 등", "card", "카드"),
        "tosspay": Method("토스페이", "토스 앱으로 바로", "toss", "toss"),
        "naverpay": Method("네이버페이", "네이버 앱으로 바로", "naver", "N pay"),
        "transfer": Method("계좌이체", "내 계좌에서 바로", "bank", "이체"),
        "virtual_account": Method("가상계좌", f"{DEPOSIT_HOURS // 24}일 안에 입금", "bank", "입금"),
        "mobile": Method("휴대폰 결제", "통신 요금에 합산", "mobile", "휴대폰"),
    }
    hands, place = "paymentKey", 0
    request_id_in = "x-tosspayments-trace-id"  # §2.1
    banks = tuple(CODE_OF_BANK)
    canceled_codes = frozenset({"USER_CANCEL", "PAY_PROCESS_CANCELED"})

    @classmethod
    def configured(cls, settings: Settings) -> bool:
        return bool(settings.toss_client_key and str(settings.toss_secret_key))

    @property
    def origins(self) -> tuple[str, ...]:
        sdk = urlsplit(self.settings.toss_sdk_url)
        own = f"{sdk.scheme}://{sdk.netloc}"
        # The SDK opens its window from sibling hosts; the list is not documented (§9.12).
        return (own, "https://*.tosspayments.com") if own.endswith(".tosspayments.com") else (own,)

    async def start(self, payment: Payment, return_url: str) -> Window:
        """§1.2: redirect mode. The customer key is anonymous: nothing of ours identifies the buyer there."""
        request = {
            **ASKED[payment.payment_method],
            "amount": {"currency": "KRW", "value": payment.amount},
            "orderId": payment.order_id,
            "orderName": payment.item_name[:100],
            "successUrl": return_url,
            "failUrl": return_url,
            "customerName": payment.buyer_name[:100],
            "customerEmail": payment.buyer_email[:100],
        }
        if payment.buyer_phone:  # 8 to 15 digits, or nothing at all
            request["customerMobilePhone"] = payment.buyer_phone
        return Window(
            self.settings.toss_sdk_url,
            [
                ["TossPayments", self.settings.toss_client_key],
                ["payment", {"customerKey": "@@ANONYMOUS"}],
                ["requestPayment", request],
            ],
        )

    def handed(self, query: Mapping[str, str]) -> Handed:
        """§1.4: `paymentKey, orderId, amount` on success; `code, message`, and not always `orderId`, on failure."""
        key = query.get("paymentKey")
        code = None if key else query.get("code")
        if code and not re.fullmatch("[A-Z0-9_]{1,64}", code):  # anybody can write into an address bar
            code = "UNKNOWN"
        return Handed(key, query.get("orderId"), query.get("amount"), code)

    async def confirm(self, payment: Payment) -> Receipt:
        """§2.4. The idempotency key is the order id: a repeat brings back the first answer (§2.2)."""
        body = {"paymentKey": payment.pg_transaction_id, "orderId": payment.order_id, "amount": payment.amount}
        return self._receipt(await self._ask("POST", "/v1/payments/confirm", key=payment.order_id, json=body))

    async def cancel(
        self, payment: Payment, refund: Refund, left: int, account: RefundAccount | None = None
    ) -> Receipt:
        """§2.4. The amount is always said, so that a whole refund can never grow by what happened in between."""
        body: dict[str, Any] = {"cancelReason": refund.reason[:200], "cancelAmount": refund.amount}
        body["refundableAmount"] = left
        if account:
            bank = CODE_OF_BANK[account.bank]
            back_to = {"bank": bank, "accountNumber": account.number, "holderName": account.holder}
            body["refundReceiveAccount"] = back_to
        return self._receipt(await self._ask("POST", _cancel_path(payment), key=refund.pg_key, json=body))

    async def withdraw(self, payment: Payment) -> Receipt:
        """§2.4: whole, and without an account to refund to, so that Toss says no once the deposit is in.

        No idempotency key: what a first request has closed, a second finds closed, and no error stays for 15 days.
        """
        body = {"cancelReason": "입금 전 주문 취소"}
        return self._receipt(await self._ask("POST", _cancel_path(payment), json=body))

    async def find(self, payment: Payment) -> Receipt:
        """By the payment key once the buyer has brought one, else by our order id (§2.4)."""
        key = payment.pg_transaction_id
        path = f"/v1/payments/{quote(key, safe='')}" if key else f"/v1/payments/orders/{payment.order_id}"
        try:
            return self._receipt(await self._ask("GET", path, seconds=lookup_seconds(payment)))
        except Declined as no:
            if no.code == "NOT_FOUND_PAYMENT":
                return Receipt(status="absent", order_id=payment.order_id)
            raise InDoubt(no.code, no.message) from no

    def hear(self, headers: Mapping[str, str], body: bytes) -> Heard | None:
        """§5.3–5.4: nothing is signed, so a webhook only says where to look; its `secret` must be the payment's."""
        try:
            message = json.loads(body.decode())  # not as what json takes it for: UTF-16, too
            payment = message.get("data", {}) if "eventType" in message else message
            order_id, secret = payment.get("orderId"), payment.get("secret")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Forged("읽을 수 없는 웹훅") from error
        if not isinstance(order_id, str) or not re.fullmatch(ORDER_ID, order_id):
            return None  # nobody's order
        transmission = headers.get("tosspayments-webhook-transmission-id")
        return Heard(order_id, secret if isinstance(secret, str) else None, transmission, _given_back(payment))

    def sentence(self, code: str) -> str:
        if code in SENTENCES:
            return SENTENCES[code]
        if CLASS_OF.get(code) == "configuration":
            return SELLER_AT_FAULT
        return LIMIT if code.startswith("EXCEED_MAX") and code.endswith(("AMOUNT", "PAYMENT_COUNT")) else NOT_APPROVED

    async def movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """§2.4 `GET /v1/transactions`: Korean time without an offset, page after page."""
        query: dict[str, Any] = {"startDate": korean(since), "endDate": korean(until), "limit": PAGE}
        while True:
            rows = await self._ask("GET", "/v1/transactions", params=query, least=BOOK_SECONDS)
            if not isinstance(rows, list):
                raise unreadable()
            try:
                movements = [self._movement(row) for row in rows]
                last = rows[-1]["transactionKey"] if rows else None
            except (KeyError, TypeError, ValueError) as error:
                raise unreadable() from error
            for movement in movements:
                yield movement
            if last in (None, query.get("startingAfter")):
                return
            query["startingAfter"] = last

    @staticmethod
    def _movement(row: dict[str, Any]) -> Movement:
        """Which sign a cancellation's amount has is not written down: the status decides."""
        amount = abs(won(row["amount"]))
        back = row["status"] in ("CANCELED", "PARTIAL_CANCELED")
        at = datetime.fromisoformat(row["transactionAt"])
        return Movement(row["orderId"], row["transactionKey"], -amount if back else amount, at)

    async def _ask(self, method: str, path: str, key: str | None = None, **options: Any) -> Any:
        status, answer = await call(
            self.client,
            method,
            self.settings.toss_api_url + path,
            auth=(str(self.settings.toss_secret_key), ""),  # §2.1: the colon is part of it
            headers={"Idempotency-Key": key} if key else {},
            **options,
        )
        if status == 200:
            return answer
        told = answer if isinstance(answer, dict) else {}
        raise self._refusal(status, str(told.get("code") or ""), str(told.get("message") or ""))

    def _refusal(self, status: int, code: str, message: str) -> Declined | InDoubt:
        """§4.2: the code decides, never the message; a 5xx or a code we do not know is "don't know"."""
        kind = CLASS_OF.get(code, "unknown")
        if kind == "unknown" or status >= 500:
            bound = bool(code) and code not in AT_WORK
            return InDoubt(code or f"HTTP_{status}", message, answered=status < 500, bound=bound)
        if kind == "configuration":
            log.error("토스페이먼츠 설정을 확인하세요: %s", code)
        return Declined(code, message, kind)

    def _receipt(self, answer: Any) -> Receipt:
        """§3.1, tolerant of unknown fields and new words, strict about the ones that carry money. Raises InDoubt."""
        try:
            failure = answer.get("failure") or {}
            waits = answer["status"] == "WAITING_FOR_DEPOSIT"
            over = waits and answer["virtualAccount"].get("expired") is True
            # §3.1: before the deposit nothing was approved, and what is called a cancel gave nothing back.
            unpaid = answer["status"] == "CANCELED" and answer.get("virtualAccount") and not answer.get("approvedAt")
            return Receipt(
                status="expired" if over else STANDING[answer["status"]],  # §3.2: the word stays, the flag flips
                order_id=answer["orderId"],
                transaction_id=answer["paymentKey"],
                paid=0 if unpaid else won(answer["totalAmount"]),
                currency=answer["currency"],
                canceled=tuple(
                    Cancellation(cancel["transactionKey"], won(cancel["cancelAmount"]))
                    for cancel in (() if unpaid else answer.get("cancels") or ())
                ),
                secret=answer.get("secret"),
                receipt_url=(answer.get("receipt") or {}).get("url"),
                code=failure.get("code"),
                message=failure.get("message"),
                account=_account(answer["virtualAccount"]) if waits else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise unreadable() from error


def _cancel_path(payment: Payment) -> str:
    return f"/v1/payments/{quote(payment.pg_transaction_id or '', safe='')}/cancel"


def _account(told: dict[str, Any]) -> Account:
    """§3.1 `virtualAccount`. The deadline is Korean time where no offset is said."""
    due = datetime.fromisoformat(told["dueDate"])
    due = due if due.tzinfo else due.replace(tzinfo=KST)
    bank = BANKS.get(told["bankCode"], f"은행 코드 {told['bankCode']}")
    return Account(bank, str(told["accountNumber"]), str(told.get("customerName") or ""), due.astimezone(UTC))


def _given_back(payment: dict[str, Any]) -> int | None:
    total, balance = payment.get("totalAmount"), payment.get("balanceAmount")
    settled = payment.get("status") in ("DONE", "PARTIAL_CANCELED", "CANCELED")
    return total - balance if settled and isinstance(total, int) and isinstance(balance, int) else None


def korean(moment: datetime) -> str:
    return f"{moment.astimezone(KST):%Y-%m-%dT%H:%M:%S}"
