"""PortOne V2: its browser SDK's window, which takes the money by itself or leaves a token for our confirm.

GET /payments/{paymentId} is the only truth. Section numbers are those of pg/portone.md.
"""

import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

from app.clock import now
from app.config import Settings
from app.gateways import (
    BOOK_SECONDS,
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
    Window,
    call,
    lookup_seconds,
    unreadable,
)
from app.gateways.portone.codes import AT_WORK, BANK_OF, CANCELED, CONFIGURATION, DECLINED, sentence
from app.gateways.portone.reading import bracketed, cancellations, lines, read
from app.models import Payment, Refund, RefundStatus
from app.order_id import ORDER_ID

log = logging.getLogger(__name__)

PAGE = 1000  # payments a call
PRE_REGISTERED = timedelta(minutes=10)  # the price stays fixed there; a buyer who opens the page again need not wait
ACCOUNT_HOURS = 24  # how long a virtual account waits
PENDING = "CANCEL_PENDING", "PG가 환불을 처리하고 있습니다."
PATIENT_ATTEMPTS = 2  # refusals by the PG behind PortOne that its book must outlast before they count


class PortOne(Gateway):
    name = "portone"
    label = "포트원"
    methods: ClassVar[Mapping[str, Method]] = {
        "portone": Method("카드 (포트원)", "신용·체크카드로 바로", "card", "카드"),
        "portone_virtual_account": Method("가상계좌 (포트원)", f"{ACCOUNT_HOURS}시간 안에 입금", "bank", "입금"),
    }
    hands, place = "paymentId", 2
    charges_in_window = True
    canceled_codes = CANCELED
    banks = tuple(BANK_OF)

    @classmethod
    def configured(cls, settings: Settings) -> bool:
        return bool(settings.portone_store_id and settings.portone_channel_key and str(settings.portone_api_secret))

    @property
    def origins(self) -> tuple[str, ...]:
        sdk = urlsplit(self.settings.portone_sdk_url)
        own = f"{sdk.scheme}://{sdk.netloc}"
        # The SDK frames PortOne's checkout and talks to its services; the list of hosts is not documented (§19).
        return (own, "https://*.portone.io", "https://*.iamport.co") if own.endswith(".portone.io") else (own,)

    async def start(self, payment: Payment, return_url: str) -> Window:
        """§7: our amount is fixed before the window opens; a browser that names another one is refused there."""
        await self._ask("POST", payment.order_id, "/pre-register", json=self._amount(payment))
        request: dict[str, Any] = {
            **self._amount(payment),
            "channelKey": self.settings.portone_channel_key,
            "paymentId": payment.order_id,
            "orderName": payment.item_name[:100],
            "payMethod": "CARD",
            "customer": {"fullName": payment.buyer_name, "email": payment.buyer_email},
            "redirectUrl": return_url,
            "forceRedirect": True,
        }
        if payment.buyer_phone:
            request["customer"]["phoneNumber"] = payment.buyer_phone
        if payment.payment_method == "portone_virtual_account":
            expiry = {"accountExpiry": {"validHours": ACCOUNT_HOURS}}
            request |= {"payMethod": "VIRTUAL_ACCOUNT", "virtualAccount": expiry}
        steps = [["PortOne.requestPayment", request]]
        return Window(self.settings.portone_sdk_url, steps, until=now() + PRE_REGISTERED)

    def _amount(self, payment: Payment) -> dict[str, Any]:
        return {"storeId": self.settings.portone_store_id, "totalAmount": payment.amount, "currency": "KRW"}

    def handed(self, query: Mapping[str, str]) -> Handed:
        """§6: `paymentId` (an older page says `payment_id`), a token where the channel waits for us, or a code."""
        payment_id = query.get("paymentId") or query.get("payment_id")
        code = query.get("pgCode") or bracketed(query.get("message")) or query.get("code")
        if "code" not in query:
            return Handed(payment_id, payment_id, token=query.get("paymentToken"))
        known = code and re.fullmatch("[A-Za-z0-9_-]{1,64}", code)  # anybody can write into an address bar
        return Handed(order_id=payment_id, code=code if known else "UNKNOWN")

    async def confirm(self, payment: Payment) -> Receipt:
        """§7: with a token we take the money now, once; without, the window has, and we look (§10)."""
        if payment.pg_transaction_id not in (None, payment.order_id):
            raise Declined("INFORMATION_MISMATCH", "다른 결제입니다.")
        refused: Declined | InDoubt | None = None
        if payment.pg_token:
            body = self._amount(payment) | {"paymentToken": payment.pg_token}
            if self.settings.production:
                body["isTest"] = False
            key = f"{payment.order_id}-{hashlib.sha256(payment.pg_token.encode()).hexdigest()[:16]}"
            try:
                await self._ask("POST", payment.order_id, "/confirm", key=key, json=body)
            except Declined as no:
                if no.why == "configuration":
                    raise
                refused = no
            except InDoubt as silence:
                if not silence.bound:  # still at work, or nothing that could be read: the same key again, later
                    raise
                refused = silence
        return self._confirmed(await self.find(payment), refused)

    @staticmethod
    def _confirmed(receipt: Receipt, refused: Declined | InDoubt | None) -> Receipt:
        """What the payment itself says decides, also after a refusal. Raises Declined, InDoubt."""
        if receipt.status in ("paid", "waiting") or receipt.paid:
            return receipt
        if receipt.status in ("failed", "canceled", "expired"):
            raise Declined(receipt.code or "FAILED", receipt.message or "")
        if receipt.status == "absent" and refused is None:
            raise Declined("PAYMENT_NOT_FOUND", "PG에 결제가 없습니다.")
        raise refused or InDoubt("NOT_PAID_YET", "PG가 아직 결제를 마치지 않았습니다.", answered=True)

    async def cancel(
        self, payment: Payment, refund: Refund, left: int, account: RefundAccount | None = None
    ) -> Receipt:
        """§3. `currentCancellableAmount` makes PortOne refuse when it holds anything but what our books say."""
        book = await self._payment(payment) if refund.status == RefundStatus.IN_DOUBT else {}
        if cancellations(book, "REQUESTED"):
            raise InDoubt(*PENDING)
        body: dict[str, Any] = {
            "storeId": self.settings.portone_store_id,
            "reason": refund.reason[:200],
            "amount": refund.amount,
            "currentCancellableAmount": left,
            "requester": "ADMIN",
        }
        if account:
            bank = BANK_OF.get(account.bank, account.bank)
            body["refundAccount"] = {"bank": bank, "number": account.number, "holderName": account.holder}
        try:
            answer = await self._ask("POST", payment.order_id, "/cancel", key=refund.pg_key, json=body)
        except InDoubt as silence:
            if silence.code != "PG_PROVIDER":
                raise
            return await self._given_back(payment, refund, left, silence)
        if waits := cancellations({"cancellations": [answer.get("cancellation")]}, "REQUESTED"):
            if waits & cancellations(book, "FAILED"):  # §2: the answer is an old one, and it has ended since
                raise Declined("CANCEL_FAILED", "PG가 환불을 마치지 못했습니다. 돌려준 돈이 없습니다.")
            raise InDoubt(*PENDING)  # §4: it must not be asked for again
        return await self.find(payment)

    async def _given_back(self, payment: Payment, refund: Refund, left: int, silence: InDoubt) -> Receipt:
        """§10: the PG behind PortOne refused or failed. Its book decides; an unchanged one only after several tries."""
        receipt = await self.find(payment)
        if receipt.left == left - refund.amount:
            return receipt
        if receipt.left == left and refund.attempt >= PATIENT_ATTEMPTS:
            raise Declined("PG_PROVIDER", silence.message)
        raise silence

    async def withdraw(self, payment: Payment) -> Receipt:
        """§8. What the status is afterwards is not written down: a closed account is closed.

        No idempotency key: what a first request has closed, a second finds closed, and no error stays for hours.
        """
        path, params = "/virtual-account/close", {"storeId": self.settings.portone_store_id}
        try:
            await self._ask("POST", payment.order_id, path, params=params)
        except Declined as no:
            if no.code != "PAYMENT_NOT_WAITING_FOR_DEPOSIT":  # which is: paid in, or closed, in the meantime
                raise
        receipt = await self.find(payment)
        over = receipt.status in ("waiting", "failed", "expired")
        return replace(receipt, status="canceled", code=None, message=None) if over else receipt

    async def find(self, payment: Payment) -> Receipt:
        try:
            return self._receipt(await self._payment(payment), payment)
        except Declined as no:
            if no.code == "PAYMENT_NOT_FOUND":
                return Receipt(status="absent", order_id=payment.order_id)
            raise InDoubt(no.code, no.message) from no

    async def _payment(self, payment: Payment) -> Any:
        params = {"storeId": self.settings.portone_store_id}
        return await self._ask("GET", payment.order_id, params=params, seconds=lookup_seconds(payment))

    def hear(self, headers: Mapping[str, str], body: bytes) -> Heard | None:
        """§9: signed by one of up to two secrets, in two shapes. What it says is only a reason to look."""
        self._check_signature(headers, body)
        try:
            text = body.decode()
            message: dict[str, Any] = json.loads(text) if text.lstrip().startswith("{") else dict(parse_qsl(text))
            told = message.get("data", {}) if "type" in message else message
            order_id = told.get("paymentId") or told.get("payment_id")
        except (ValueError, AttributeError, RecursionError) as error:
            raise Forged("읽을 수 없는 웹훅") from error
        ours = str(message.get("type", "Transaction.")).startswith("Transaction.")
        if not ours or not isinstance(order_id, str) or not re.fullmatch(ORDER_ID, order_id):
            return None  # of a billing key, of a kind of tomorrow, or nobody's order
        return Heard(order_id, transmission_id=headers.get("webhook-id"))

    def _check_signature(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises Forged. Without a secret there is nothing to check by."""
        secrets = [secret.strip() for secret in str(self.settings.portone_webhook_secret).split(",") if secret.strip()]
        if secrets and not any(_signed(secret, headers, body) for secret in secrets):
            raise Forged("서명이 맞지 않는 웹훅")

    async def movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """§3: payments whose status changed since, page after page. What moved then may have changed again later."""
        wanted: dict[str, Any] = {
            "storeId": self.settings.portone_store_id,
            "version": "V2",
            "status": ["PAID", "PARTIAL_CANCELLED", "CANCELLED"],
            "timestampType": "STATUS_CHANGED_AT",
            "from": since.astimezone(UTC).isoformat(),
            "until": now().isoformat(),
            "sortOrder": "ASC",
        }
        if self.settings.production:
            wanted["isTest"] = False
        number = 0
        while True:
            asked = json.dumps({"page": {"number": number, "size": PAGE}, "filter": wanted})
            answer = await self._ask("GET", "", params={"requestBody": asked}, least=BOOK_SECONDS)
            try:
                found = [line for it in answer["items"] for line in lines(it) if since <= line.at <= until]
                last = len(answer["items"]) < PAGE
            except (KeyError, TypeError, ValueError) as error:
                raise unreadable() from error
            for line in found:
                yield line
            if last:
                return
            number += 1

    def sentence(self, code: str) -> str:
        return sentence(code)

    async def _ask(self, method: str, order_id: str, path: str = "", key: str | None = None, **options: Any) -> Any:
        """§2. Raises Declined, InDoubt."""
        where = f"/{quote(order_id, safe='')}{path}" if order_id else ""
        headers = {"Authorization": f"PortOne {self.settings.portone_api_secret}"}
        if key:
            headers["Idempotency-Key"] = f'"{key}"'  # an RFC 8941 string: the quotes are part of it
        url = f"{self.settings.portone_api_url}/payments{where}"
        status, answer = await call(self.client, method, url, headers=headers, **options)
        if status == 200 and isinstance(answer, dict):
            return answer
        told = answer if isinstance(answer, dict) else {}
        code, pg_code = str(told.get("type") or ""), str(told.get("pgCode") or "")
        raise self._refusal(status, code, f"{pg_code} {told.get('pgMessage') or told.get('message') or ''}".strip())

    @staticmethod
    def _refusal(status: int, code: str, message: str) -> Declined | InDoubt:
        """§5, §10: the type decides, never the message; what we do not know is "don't know"."""
        if code in DECLINED and status < 500:
            return Declined(code, message)
        if code in CONFIGURATION and status < 500:
            log.error("포트원 설정을 확인하세요: %s", code)
            return Declined(code, message, "configuration")
        bound = bool(code) and code != AT_WORK
        return InDoubt(code or f"HTTP_{status}", message, answered=status < 500, bound=bound)

    def _receipt(self, answer: Any, payment: Payment) -> Receipt:
        receipt = read(answer, payment)
        test = (answer.get("channel") or {}).get("type") == "TEST"
        if test and self.settings.production and receipt.status in ("paid", "waiting"):
            log.error("%s: 테스트 채널의 결제입니다. 실제로 받은 돈이 없습니다", payment.order_id)
            return Receipt(status="failed", order_id=receipt.order_id, code="TEST_CHANNEL")
        return receipt


def _signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Not older or newer than five minutes, and by this secret."""
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True
