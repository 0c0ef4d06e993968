"""PortOne V1 (아임포트): IMP's window takes the money, REST tells whether it did. Section numbers: pg/portone.md.

Nothing here has an idempotency key: `checksum` is what keeps a refund from being made twice.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

from app.clock import now
from app.config import Settings
from app.gateways import (
    NOT_APPROVED,
    RETURN,
    SELLER_AT_FAULT,
    WINDOW_CLOSED,
    Cancellation,
    Declined,
    Forged,
    Gateway,
    Handed,
    Heard,
    InDoubt,
    Method,
    Receipt,
    RefundAccount,
    Standing,
    Window,
    call,
    lookup_seconds,
    unreadable,
    won,
)
from app.models import Payment, Refund, RefundStatus
from app.order_id import ORDER_ID

log = logging.getLogger(__name__)

EARLY = timedelta(minutes=2)  # a token is renewed this long before its end
PATIENT_ATTEMPTS = 3  # refusals of a repeat that the book must outlast: the first request may be at work for a minute
STANDING: dict[str, Standing] = {"ready": "open", "paid": "paid", "cancelled": "canceled", "failed": "failed"}

GIVEN_UP = "PAY_PROCESS_CANCELED"
SENTENCES = {
    GIVEN_UP: WINDOW_CLOSED,
    "PAYMENT_NOT_FOUND": "결제가 시작되지 않았습니다. 결제되지 않았으니 처음부터 다시 결제해 주세요.",
    "REJECT_CARD_PAYMENT": "카드 한도를 넘었거나 잔액이 부족합니다. 다른 카드나 결제수단으로 결제해 주세요.",
    "INVALID_STOPPED_CARD": "사용이 정지된 카드입니다. 다른 카드로 결제해 주세요.",
    "AmountNotEqualToPredefined": "결제 금액이 주문과 달라 결제하지 않았습니다. 처음부터 다시 결제해 주세요.",
    "PaymentAlreadyPaid": "이미 결제를 마친 주문입니다. 결제 내역에서 결과를 확인해 주세요.",
    "SDK_NOT_LOADED": "결제창을 불러오지 못했습니다. 네트워크를 확인하고 다시 결제해 주세요.",
    **dict.fromkeys(
        ("UNAUTHORIZED", "NOT_PREPARED", "TEST_CHANNEL", "BadRequest", "ChannelNotFound", "NOT_INITIALIZED"),
        SELLER_AT_FAULT,
    ),
}


@dataclass(frozen=True)
class PortOneV1(Gateway):
    name = "portone_v1"
    label = "포트원 V1"
    methods: ClassVar[Mapping[str, Method]] = {
        "portone_v1": Method("카드 (포트원 V1)", "신용·체크카드로 바로", "card", "카드"),
    }
    hands = "imp_uid"
    charges_in_window = True
    keeps_book = False  # §13 lists payments by status, and says nothing of a time
    canceled_codes = frozenset({GIVEN_UP})

    token: dict[str, Any] = field(default_factory=dict, repr=False)
    """What getToken gave, and until when it is good."""

    @classmethod
    def configured(cls, settings: Settings) -> bool:
        keys = (settings.portone_v1_imp_code, settings.portone_v1_channel_key, settings.portone_v1_imp_key)
        return all(keys) and bool(str(settings.portone_v1_imp_secret))

    @property
    def origins(self) -> tuple[str, ...]:
        sdk = urlsplit(self.settings.portone_v1_sdk_url)
        own = f"{sdk.scheme}://{sdk.netloc}"
        # As for V2, the hosts of the real window are not documented (§19).
        return (own, "https://*.iamport.kr", "https://*.iamport.co") if own.endswith(".iamport.kr") else (own,)

    async def start(self, payment: Payment, return_url: str) -> Window:
        """§13: our amount is fixed first. PC tells the callback how it went, a phone is redirected (§14)."""
        asked = {"merchant_uid": payment.order_id, "amount": payment.amount}
        try:
            await self._ask("POST", "/payments/prepare", json=asked)
        except Declined:  # it was prepared before
            try:
                await self._ask("PUT", "/payments/prepare", json=asked)
            except Declined as no:
                log.error("포트원 V1 설정을 확인하세요: %s", no)
                raise Declined("NOT_PREPARED", no.message, "configuration") from no
        request = {
            "channelKey": self.settings.portone_v1_channel_key,
            "pay_method": "card",
            "merchant_uid": payment.order_id,
            "name": payment.item_name[:100],
            "amount": payment.amount,
            "buyer_name": payment.buyer_name,
            "buyer_email": payment.buyer_email,
            "buyer_tel": payment.buyer_phone,
            "m_redirect_url": return_url,
        }
        init = ["IMP.init", self.settings.portone_v1_imp_code]
        return Window(self.settings.portone_v1_sdk_url, [init, ["IMP.request_pay", request, RETURN]])

    def handed(self, query: Mapping[str, str]) -> Handed:
        """§14: old modules say `imp_success` or `success`, new ones only fail loudly. `code` is our own page's."""
        said = query.get("error_code") or query.get("code")
        failed = "false" in (query.get("imp_success"), query.get("success")) or "error_msg" in query
        if said or failed:
            return Handed(order_id=query.get("merchant_uid"), code=_code(query.get("error_msg"), said))
        return Handed(query.get("imp_uid"), query.get("merchant_uid"))

    async def confirm(self, payment: Payment) -> Receipt:
        """The window has taken the money, or not: what the browser brought is looked up, then our order."""
        if imp_uid := payment.pg_transaction_id:
            receipt = await self._look(f"/{quote(imp_uid, safe='')}", payment)
            if receipt.status == "absent" or receipt.order_id != payment.order_id:
                raise Declined("PAYMENT_NOT_FOUND", "이 주문의 결제가 아닙니다.")
            if receipt.paid:
                return receipt
        receipt = await self.find(payment)
        if receipt.paid:
            return receipt
        if receipt.status in ("failed", "canceled", "absent"):
            raise Declined(receipt.code or "PAYMENT_NOT_FOUND", receipt.message or "")
        raise InDoubt("NOT_PAID_YET", "PG가 아직 결제를 마치지 않았습니다.", answered=True)

    async def cancel(
        self, payment: Payment, refund: Refund, left: int, account: RefundAccount | None = None
    ) -> Receipt:
        """§13: HTTP 200 with another code than 0 is a failure, also of a repeat whose first call went through."""
        body = {"amount": refund.amount, "checksum": left, "reason": refund.reason[:200]}
        if payment.pg_transaction_id:
            body["imp_uid"] = payment.pg_transaction_id
        try:
            answer = await self._ask("POST", "/payments/cancel", json=body | {"merchant_uid": payment.order_id})
        except Declined as no:
            receipt = await self.find(payment)
            if receipt.left == left - refund.amount:
                return receipt
            if receipt.left != left:
                raise InDoubt("CHECKSUM", "PG에 남은 금액이 장부와 다릅니다.") from no
            if refund.status == RefundStatus.IN_DOUBT and refund.attempt < PATIENT_ATTEMPTS:
                raise Declined(no.code, no.message, "try_again") from no
            raise
        return self._receipt(answer, payment)

    async def find(self, payment: Payment) -> Receipt:
        """By our order id, for a buyer may have tried several times: the attempt that was paid, else the newest."""
        for status in ("paid", "cancelled", "all"):
            receipt = await self._look(f"/find/{payment.order_id}/{status}?sorting=-started", payment)
            if receipt.status != "absent":
                break
        return receipt

    async def _look(self, path: str, payment: Payment) -> Receipt:
        """§13: since 2026-01-26 test payments are only there for those who ask for them."""
        params = {"include_sandbox": "false" if self.settings.production else "true"}
        try:
            answer = await self._ask("GET", f"/payments{path}", params=params, seconds=lookup_seconds(payment))
        except Declined as no:
            if no.code == "PAYMENT_NOT_FOUND":
                return Receipt(status="absent", order_id=payment.order_id)
            raise InDoubt(no.code, no.message) from no
        return self._receipt(answer, payment)

    def hear(self, headers: Mapping[str, str], body: bytes) -> Heard | None:
        """§15: nothing is signed, so a webhook only says where to look. JSON, or a form."""
        try:
            text = body.decode()
            told = json.loads(text) if text.lstrip().startswith("{") else dict(parse_qsl(text))
            order_id = str(told.get("merchant_uid"))
        except (ValueError, RecursionError) as error:
            raise Forged("읽을 수 없는 웹훅") from error
        return Heard(order_id) if re.fullmatch(ORDER_ID, order_id) else None  # or nobody's order

    def sentence(self, code: str) -> str:
        return SENTENCES.get(code, NOT_APPROVED)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        """The envelope's response. A token that PortOne no longer takes is asked for anew, once."""
        status, answer = await self._send(method, path, options)
        if status == 401:
            self.token.clear()
            status, answer = await self._send(method, path, options)
        return _opened(status, answer)

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        return await call(self.client, method, self.settings.portone_v1_api_url + path, headers=headers, **options)

    async def _token(self) -> str:
        """§13: good for 30 minutes by their clock; the same one until then."""
        if self.token and now() < self.token["until"]:
            return str(self.token["it"])
        keys = {"imp_key": self.settings.portone_v1_imp_key, "imp_secret": str(self.settings.portone_v1_imp_secret)}
        asked_at = now()
        answer = _opened(
            *await call(self.client, "POST", f"{self.settings.portone_v1_api_url}/users/getToken", json=keys)
        )
        try:
            life = timedelta(seconds=answer["expired_at"] - answer["now"])
            self.token.update(it=str(answer["access_token"]), until=asked_at + life - EARLY)
        except (KeyError, TypeError) as error:
            raise unreadable() from error
        return str(self.token["it"])

    def _receipt(self, answer: Any, payment: Payment) -> Receipt:
        """§13, strict about what carries money: a part given back leaves it `paid`. Raises InDoubt."""
        try:
            status = STANDING[answer["status"]]
            took = status == "paid" or (status == "canceled" and bool(answer["paid_at"]))
            given = sorted(answer.get("cancel_history") or (), key=_when)
            code = _code(answer.get("fail_reason"), None) if status == "failed" else None
            receipt = Receipt(
                status="canceled" if code == GIVEN_UP else status,
                order_id=answer["merchant_uid"],
                transaction_id=answer["imp_uid"],
                paid=won(answer["amount"]) if took else 0,
                currency=answer["currency"],
                canceled=tuple(Cancellation(_name(one), won(one["amount"])) for one in given),
                receipt_url=answer.get("receipt_url"),
                code=code,
                message=self.sentence(code) if code else None,  # a buyer reads it
            )
            test = answer["sandbox"] is True
            told_back = won(answer["cancel_amount"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise unreadable() from error
        if took and told_back != receipt.paid - receipt.left:
            raise InDoubt("CANCEL_HISTORY", "PG의 취소 내역과 취소 금액이 다릅니다.")
        if test and self.settings.production:
            log.error("%s: 테스트 채널의 결제입니다. 실제로 받은 돈이 없습니다", payment.order_id)
            return Receipt(status="failed", order_id=receipt.order_id, code="TEST_CHANNEL")
        return receipt


def _opened(status: int, answer: Any) -> Any:
    """§13. Raises Declined for a code that is not 0 or a 4xx, InDoubt for what is no envelope."""
    if not isinstance(answer, dict) or type(answer.get("code")) is not int or status >= 500:
        raise InDoubt(f"HTTP_{status}", "PG의 응답을 읽을 수 없습니다.")
    if status == 200 and answer["code"] == 0:
        return answer.get("response")
    message = str(answer.get("message") or "")
    if status == 401:
        log.error("포트원 V1 설정을 확인하세요: %s", message)
        raise Declined("UNAUTHORIZED", message, "configuration")
    raise Declined("PAYMENT_NOT_FOUND" if status == 404 else "REFUSED", message)


def _code(message: str | None, said: str | None) -> str:
    """V1 has no list of codes: the PG's own stands in brackets, and who gave up is told in words (§4, §14)."""
    if message and re.search("PAY_PROCESS_CANCELED|결제포기", message):
        return GIVEN_UP
    found = re.match(r"\[([A-Za-z0-9_-]{1,64})\]", message or "")
    code = found[1] if found else said or ""
    return code if re.fullmatch("[A-Za-z0-9_-]{1,64}", code) else "UNKNOWN"  # anybody can write into an address bar


def _when(one: dict[str, Any]) -> tuple[int, str]:
    return int(one["cancelled_at"]), _name(one)


def _name(one: dict[str, Any]) -> str:
    return str(one.get("cancellation_id") or f"{one['pg_tid']}-{one['cancelled_at']}")
