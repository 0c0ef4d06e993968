"""Everything that a PG can say, for the walk through the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.config import Settings
from app.gateways import Cancellation, Declined, Handed, InDoubt, Receipt, RefundAccount
from app.models import Payment, Refund

PRICE, KEY = 10_000, "paid-key"
BY_KEY = Handed(KEY)


@dataclass(frozen=True)
class Kind:
    """What differs between the PGs, for those who ask them."""

    gateway: str
    method: str
    charges_in_window: bool = False
    found_by_our_id: bool = True
    handed: Handed = BY_KEY
    """What a browser brings from there."""


KINDS = {
    "toss": Kind("toss", "card"),
    "toss, account": Kind("toss", "virtual_account"),
    "kakaopay": Kind("kakaopay", "kakao", found_by_our_id=False, handed=Handed(token="a token")),
    "portone": Kind("portone", "portone", charges_in_window=True),
    "portone, token": Kind("portone", "portone", charges_in_window=True, handed=Handed(KEY, token="a token")),
    "portone, account": Kind("portone", "portone_virtual_account", charges_in_window=True),
    "portone_v1": Kind("portone_v1", "portone_v1", charges_in_window=True),
}


class Script:
    """A PG that says what it is told to. Not a Gateway: those register themselves."""

    canceled_codes = frozenset({"USER_CANCEL"})
    banks = ("국민은행",)

    def __init__(self, kind: Kind, settings: Settings) -> None:
        self.kind, self.name, self.settings = kind, kind.gateway, settings
        self.charges_in_window = kind.charges_in_window
        self.says: Callable[[Payment, Refund | None], Receipt] = lambda payment, _: Receipt(
            status="absent", order_id=payment.order_id
        )

    def handed(self, query: Mapping[str, str]) -> Handed:
        return Handed(code=query["code"])

    async def withdraw(self, payment: Payment) -> Receipt:
        return self.says(payment, None)

    async def find(self, payment: Payment) -> Receipt:
        """A look never hears a no: whatever is not the truth is a doubt."""
        if not (payment.pg_transaction_id or self.kind.found_by_our_id):
            return Receipt(status="absent", order_id=payment.order_id)
        try:
            return self.says(payment, None)
        except Declined as no:
            raise InDoubt(no.code) from no

    async def confirm(self, payment: Payment) -> Receipt:
        return self.says(payment, None)

    async def cancel(
        self, payment: Payment, refund: Refund, left: int, account: RefundAccount | None = None
    ) -> Receipt:
        return self.says(payment, refund)

    def sentence(self, code: str) -> str:
        return code


def answers() -> dict[str, Callable[[Payment, Refund | None], Receipt]]:
    """Everything a PG can say of an order; `refund` is the one it is asked for, which a yes then shows."""

    def says(status: str, paid: int = PRICE, canceled: Sequence[int] = (), **lie: str) -> Any:
        def answer(payment: Payment, refund: Refund | None) -> Receipt:
            back = [Cancellation(f"back-{number}", amount) for number, amount in enumerate(canceled)]
            back += [Cancellation(f"mine-{refund.id}", refund.amount)] if refund else []
            facts: dict[str, Any] = {"order_id": payment.order_id, "transaction_id": KEY, "paid": paid} | lie
            return Receipt(status=status, canceled=tuple(back), **facts)  # type: ignore[arg-type]

        return answer

    def raises(error: Exception) -> Any:
        def answer(_payment: Payment, _refund: Refund | None) -> Receipt:
            raise error

        return answer

    plain = ("open", "authenticated", "waiting", "failed", "expired", "absent")
    return {
        **{status: says(status) for status in plain},
        "paid": says("paid"),
        "paid, part gone": says("paid", canceled=(3000,)),
        "paid, all gone in parts": says("paid", canceled=(3000, 7000)),
        "paid, another amount": says("paid", paid=9000),
        "paid, another order": says("paid", order_id="x" * 24),
        "paid in dollars": says("paid", currency="USD"),
        "canceled": says("canceled", canceled=(PRICE,)),
        "canceled, never paid": says("canceled", paid=PRICE),
        "no": raises(Declined("REJECT_CARD_PAYMENT", "한도 초과")),
        "not now": raises(Declined("NOT_AVAILABLE_BANK", "점검", "try_again")),
        "silence": raises(InDoubt("TIMEOUT")),
    }
