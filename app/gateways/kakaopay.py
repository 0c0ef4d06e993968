"""KakaoPay: ready and its waiting page, then approve, order and cancel. Section numbers are those of pg/kakaopay.md."""

import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from app.clock import KST, now
from app.config import Settings
from app.gateways import (
    NOT_APPROVED,
    SELLER_AT_FAULT,
    Cancellation,
    Declined,
    Gateway,
    Handed,
    Heard,
    InDoubt,
    Method,
    Receipt,
    Redirect,
    RefundAccount,
    Standing,
    Why,
    call,
    lookup_seconds,
    unreadable,
    won,
)
from app.models import Payment, Refund, vat

log = logging.getLogger(__name__)

LIFE = timedelta(minutes=15)  # §3: from ready to approve
MARGIN = timedelta(minutes=3)  # for a buyer who opens the page again, and for clocks that disagree
QUIT, FAIL = "QUIT_PAYMENT", "FAIL_PAYMENT"  # also what our own addresses say on the way back

# §7: KakaoPay's word -> ours. There is none for an expired payment.
STANDING: dict[str, Standing] = {
    **dict.fromkeys(("READY", "SEND_TMS", "OPEN_PAYMENT", "SELECT_METHOD", "ARS_WAITING"), "open"),
    "AUTH_PASSWORD": "authenticated",
    **dict.fromkeys(("SUCCESS_PAYMENT", "PART_CANCEL_PAYMENT"), "paid"),
    "CANCEL_PAYMENT": "canceled",
    **dict.fromkeys(("FAIL_AUTH_PASSWORD", QUIT, FAIL), "failed"),
}

# §10: what each code means once order has shown that nothing moved. A code that is not here is "don't know".
CONFIGURATION = set("-400 -401 -403 -404 -429 -730 -731 -732 -733 -798 -799".split())
REFUSED = set("-2 -710 -711 -721 -722 -724 -725 -726 -781 -784 -797".split())
# Of approve, without a reason of the payment method: nothing was tried. Of an approve before it this says nothing.
UNTRIED = set("-701 -706 -707 -708 -723".split())
TRY_AGAIN = set("USER_LOCKED BANK_FIRM_UNAVAILABLE UNDER_CONSTRUCTION".split())
UNKNOWN = set("BANK_FIRM_UNKNOWN BANK_FIRM_API_FAIL INVALID_CANCEL_STATUS INTERNAL_ERROR 0010 0290".split())

SENTENCES = {
    "카카오페이에서 결제를 취소했습니다. 원할 때 다시 결제할 수 있습니다.": "QUIT_PAYMENT",
    "비밀번호가 맞지 않거나 시간이 지나 결제하지 못했습니다. 결제되지 않았으니 다시 결제해 주세요.": """
        FAIL_AUTH_PASSWORD FAIL_PAYMENT""",
    "결제 시간 15분이 지났습니다. 결제되지 않았으니 다시 결제해 주세요.": "-723",
    "카카오페이의 다른 결제 화면에서 돌아와 결제하지 못했습니다. 결제되지 않았으니 다시 결제해 주세요.": """
        -701 -706 -707 -708""",
    "잔액이 부족합니다. 충전하거나 다른 결제수단으로 결제해 주세요.": "LACK_BALANCE NOT_ENOUGH_BALANCE 8546",
    "결제 한도를 넘었습니다. 다른 카드나 결제수단으로 결제해 주세요.": """
        LIMIT_BALANCE LIMIT_ONE_TIME LIMIT_USE_PER_DAY 0002 0016 8521 -797""",
    "은행 계좌를 쓸 수 없습니다. 카카오페이에서 계좌를 확인하거나 다른 결제수단으로 결제해 주세요.": """
        BANK_ACCOUNT_NOT_FOUND BANK_ACCOUNT_BLOCKED BANK_NOT_CONNECTED""",
    "은행 점검 시간(23:30~00:35)입니다. 잠시 뒤 다시 하거나 카드로 결제해 주세요.": "BANK_FIRM_UNAVAILABLE",
    "카카오페이에서 다른 거래가 진행 중입니다. 잠시 뒤 다시 결제해 주세요.": "USER_LOCKED",
    "쓸 수 없는 카드입니다. 유효기간과 비밀번호를 확인하거나 다른 카드로 결제해 주세요.": "0004 0019 0026",
    SELLER_AT_FAULT: " ".join(CONFIGURATION),
}
SENTENCE_OF = {code: sentence for sentence, codes in SENTENCES.items() for code in codes.split()}


class No(Exception):
    """A 4xx: KakaoPay's code, and its payment method's reason when there is one. §11: it proves nothing yet."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code)
        self.code, self.name = code, reason or code


class KakaoPay(Gateway):
    name = "kakaopay"
    label = "카카오페이"
    methods: ClassVar[Mapping[str, Method]] = {
        "kakao": Method("카카오페이", "카카오톡에서 카드나 카카오페이머니로", brand="kakao", mark="pay")
    }
    hands, place = "pg_token", 1
    redirects = True  # §5
    tells = False  # §11
    keeps_book = False  # §11: one payment can be looked up, by its tid, and there is no list
    canceled_codes = frozenset({QUIT})

    @classmethod
    def configured(cls, settings: Settings) -> bool:
        return bool(str(settings.kakaopay_secret_key) and settings.kakaopay_cid)

    @property
    def origins(self) -> tuple[str, ...]:
        """§4: the waiting page is on other hosts than the API."""
        api = urlsplit(self.settings.kakaopay_api_url)
        if api.netloc.endswith(".kakaopay.com"):
            return "https://*.kakaopay.com", "https://*.kakao.com"
        return (f"{api.scheme}://{api.netloc}",)

    async def start(self, payment: Payment, return_url: str) -> Redirect:
        """§4. Nothing has begun before the browser is there: a ready without an answer is forgotten (§11)."""
        back = f"{return_url}{'&' if '?' in return_url else '?'}code="
        asked = {
            "partner_order_id": payment.order_id,
            "partner_user_id": user_of(payment),
            "item_name": payment.item_name[:100],
            "quantity": 1,
            "total_amount": payment.amount,
            "tax_free_amount": 0,
            "vat_amount": payment.vat,
            "approval_url": return_url,
            "cancel_url": back + QUIT,
            "fail_url": back + FAIL,
        }
        try:
            answer = await self._ask("ready", asked)
        except No as no:
            why: Why = "configuration" if no.code in CONFIGURATION else "declined"
            raise Declined(no.name, "카카오페이가 결제를 받지 않았습니다.", why) from no
        try:
            urls = str(answer["next_redirect_pc_url"]), str(answer["next_redirect_mobile_url"])
            return Redirect(*urls, transaction_id=str(answer["tid"]), until=now() + LIFE - MARGIN)
        except KeyError as error:
            raise unreadable() from error

    def handed(self, query: Mapping[str, str]) -> Handed:
        """§3: `pg_token` on success; the other two addresses bring the code that we wrote into them."""
        if token := query.get("pg_token"):
            return Handed(token=token)
        code = query.get("code")
        return Handed(code=code if code in (None, QUIT, FAIL) else "UNKNOWN")  # anybody can write into an address bar

    async def confirm(self, payment: Payment) -> Receipt:
        """§6. KakaoPay approves a tid once; what a refusal means, only order tells (§11)."""
        asked = {
            "tid": payment.pg_transaction_id,
            "partner_order_id": payment.order_id,
            "partner_user_id": user_of(payment),
            "pg_token": payment.pg_token,
            "total_amount": payment.amount,
        }
        try:
            answer = await self._ask("approve", asked)
        except No as no:
            return await self._approved_after_all(payment, no)
        return self._receipt(payment, answer | {"status": "SUCCESS_PAYMENT"})  # §6: it has no status

    async def _approved_after_all(self, payment: Payment, no: No) -> Receipt:
        try:
            found = await self.find(payment)
        except InDoubt as silence:
            raise InDoubt(no.name, f"approve {no.code}", answered=True) from silence
        if found.order_id != payment.order_id:
            raise Declined(no.name, "다른 주문의 거래번호입니다.") from no
        if found.status in ("paid", "canceled"):
            return found
        if found.status == "failed" or no.code == "-721":
            raise Declined(no.name, "카카오페이가 승인하지 않았습니다.") from no
        if no.name in UNTRIED:
            raise Declined(no.name, "카카오페이가 승인을 시도하지 않았습니다.", "try_again") from no
        raise InDoubt(no.name, f"approve {no.code}", answered=True) from no

    async def cancel(
        self, payment: Payment, refund: Refund, left: int, account: RefundAccount | None = None
    ) -> Receipt:
        """§8. What is `left` is KakaoPay's only guard against giving back twice."""
        return await self._give_back(payment, refund.amount, left, vat(left))

    async def _give_back(self, payment: Payment, amount: int, left: int, vat_left: int) -> Receipt:
        """The VATs of the parts add up to `vat_left`, which a cancellation in KakaoPay's own console rounds its way."""
        asked = {
            "tid": payment.pg_transaction_id,
            "cancel_amount": amount,
            "cancel_tax_free_amount": 0,
            "cancel_vat_amount": max(0, vat_left - vat(left - amount)),
            "cancel_available_amount": left,
        }
        try:
            answer = await self._ask("cancel", asked)
        except No as no:
            order = await self._order(payment)
            found, theirs = self._receipt(payment, order), vat_still_in(order)
            if theirs not in (None, vat_left) and found.left == left:
                return await self._give_back(payment, amount, left, theirs)
            return self._given_back_after_all(found, left, no)
        try:
            given = Cancellation(answer["aid"], won(answer["approved_cancel_amount"]["total"]))
            alone = won(answer["canceled_amount"]["total"]) == given.amount
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable() from error
        return self._receipt(payment, answer, given) if alone else await self.find(payment, given)

    def _given_back_after_all(self, found: Receipt, left: int, no: No) -> Receipt:
        """§11. Less is left there than in our books: this refund was made before, or another one elsewhere."""
        if found.left < left and found.status in ("paid", "canceled"):
            return found
        if no.code not in REFUSED or no.name in UNKNOWN:
            raise InDoubt(no.name, f"cancel {no.code}") from no
        why: Why = "try_again" if no.name in TRY_AGAIN else "declined"
        raise Declined(no.name, "카카오페이가 환불하지 않았습니다.", why) from no

    async def find(self, payment: Payment, given: Cancellation | None = None) -> Receipt:
        """§7. `given`: a cancellation that we know of already."""
        return self._receipt(payment, await self._order(payment), given)

    async def _order(self, payment: Payment) -> dict[str, Any] | None:
        """None: KakaoPay has no such payment. Without a tid no page was ever opened."""
        if not payment.pg_transaction_id:
            return None
        try:
            return await self._ask("order", {"tid": payment.pg_transaction_id}, lookup_seconds(payment))
        except No as no:
            if no.code == "-721":
                return None
            raise InDoubt(no.name, "order") from no

    def hear(self, headers: Mapping[str, str], body: bytes) -> Heard | None:
        """§11: KakaoPay tells nothing by itself."""
        return None

    def sentence(self, code: str) -> str:
        return SENTENCE_OF.get(code, NOT_APPROVED)

    async def _ask(self, what: str, asked: dict[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """Raises No for a 4xx, InDoubt for anything else that is not a 200."""
        status, answer = await call(
            self.client,
            "POST",
            f"{self.settings.kakaopay_api_url}/online/v1/payment/{what}",
            seconds=seconds,
            headers={"Authorization": f"SECRET_KEY {self.settings.kakaopay_secret_key}"},
            json={"cid": self.settings.kakaopay_cid, **asked},
        )
        if not isinstance(answer, dict):
            raise unreadable()
        if status == 200:
            return answer
        code, extras = answer.get("error_code"), answer.get("extras")
        reason = str(extras.get("method_result_code") or "") if isinstance(extras, dict) else ""
        if status >= 500 or not isinstance(code, int):
            raise InDoubt(str(code or f"HTTP_{status}"))
        if str(code) in CONFIGURATION:
            log.error("카카오페이 설정을 확인하세요: %s %s", what, code)
            if what != "ready":
                raise InDoubt(str(code), "판매자 설정", answered=True)  # §11: the state is kept
        raise No(str(code), reason if re.fullmatch("[A-Z0-9_]{1,64}", reason) else "")

    def _receipt(self, payment: Payment, answer: dict[str, Any] | None, given: Cancellation | None = None) -> Receipt:
        """§6-§8; before a payment hardly a field is certain to be there (§13). Raises InDoubt."""
        if answer is None:
            return Receipt(status="absent", order_id=payment.order_id)
        try:
            standing = self._standing(payment, answer)
            took = standing in ("paid", "canceled")
            order_id = answer["partner_order_id"] if took else answer.get("partner_order_id") or payment.order_id
            ours = {"cid": self.settings.kakaopay_cid, "partner_user_id": user_of(payment)}
            if order_id == payment.order_id and any((answer.get(name) or it) != it for name, it in ours.items()):
                raise InDoubt("NOT_OURS", "카카오페이가 다른 가맹점이나 구매자의 결제를 말합니다.")
            return Receipt(
                status=standing,
                order_id=order_id,
                transaction_id=answer["tid"],
                paid=won(answer["amount"]["total"]) if took else 0,
                canceled=canceled(answer, given) if took else (),
                code=answer["status"] if standing == "failed" else None,
                message=self.sentence(answer["status"]) if standing == "failed" else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise unreadable() from error

    def _standing(self, payment: Payment, answer: dict[str, Any]) -> Standing:
        """§7, §11: KakaoPay has no word for "too late". A claimed payment is waited for longer: a bank may be late."""
        standing = STANDING[answer["status"]]
        if standing not in ("open", "authenticated"):
            return standing
        opened = datetime.fromisoformat(answer["created_at"]).replace(tzinfo=KST) if answer.get("created_at") else None
        if now() > (opened or payment.created_at) + LIFE + MARGIN:
            return "open" if payment.claimed_at else "expired"
        return "open" if payment.failure_code == "BANK_FIRM_UNKNOWN" else standing  # to approve again would be too soon


def canceled(answer: dict[str, Any], given: Cancellation | None) -> tuple[Cancellation, ...]:
    """§7, §8: every CANCEL action. A real answer lacked its amount, which the sum then tells. Raises ValueError."""
    total = won((answer.get("canceled_amount") or {"total": 0})["total"])
    amounts: dict[str, int | None] = {given.transaction_id: given.amount} if given else {}
    for action in answer.get("payment_action_details") or ():
        if action["payment_action_type"] == "CANCEL" and action["aid"] not in amounts:
            amounts[action["aid"]] = None if action.get("amount") is None else won(action["amount"])
    rest = total - sum(amount or 0 for amount in amounts.values())
    unsaid = [aid for aid, amount in amounts.items() if amount is None]
    if len(unsaid) == 1:
        amounts[unsaid[0]], rest = rest, 0
    if rest or len(unsaid) > 1:
        raise ValueError(f"canceled {total}, but {amounts}")
    return tuple(Cancellation(aid, amount) for aid, amount in amounts.items() if amount)


def vat_still_in(order: dict[str, Any] | None) -> int | None:
    """§7: whole won of VAT in what can still be given back; None when KakaoPay does not say."""
    try:
        return won((order or {})["cancel_available_amount"]["vat"])
    except (KeyError, TypeError, ValueError):
        return None


def user_of(payment: Payment) -> str:
    """§2: opaque, nothing personal."""
    return f"user-{payment.user_id}"
