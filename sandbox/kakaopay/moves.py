"""How a payment moves (pg/kakaopay.md §6-§8, §12). No awaits: what is checked still holds at its effect."""

import secrets
import string
from collections.abc import Callable, Mapping

from sandbox.kakaopay.asked import METHODS, Asked, wrong_cid
from sandbox.kakaopay.errors import Refused
from sandbox.kakaopay.payment import PAID, PENDING, Action, Payment, Sum, number
from sandbox.kakaopay.store import KakaoPay
from sandbox.tax import vat

ALPHABETS = {"hex": "0123456789abcdef", "alnum": string.ascii_letters + string.digits}

Check = Callable[[KakaoPay, Payment, Asked], None]


def ready(kakaopay: KakaoPay, asked: Asked) -> Payment:
    """A new tid each time, for the same order too."""
    switches, now = kakaopay.world.switches, kakaopay.world.clock.now()
    cid, amount = asked.cid(), amount_of(asked)
    asked.check_extras()
    if 0 < switches.number("payment_limit") < amount.total:
        raise Refused(-797)
    payment = Payment(
        tid=number("T", now),
        key=secrets.token_hex(32),
        cid=cid,
        partner_order_id=asked.text("partner_order_id", 100),
        partner_user_id=asked.text("partner_user_id", 100),
        item_name=asked.text("item_name", 100),
        item_code=asked.maybe_text("item_code", 100),
        quantity=asked.number("quantity"),
        amount=amount,
        green_deposit=asked.maybe_number("green_deposit") or 0,
        only=asked.one_of("payment_method_type", METHODS),
        install_month=asked.maybe_number("install_month", most=12) or 0,
        created_at=now,
        approval_url=asked.url("approval_url"),
        cancel_url=asked.url("cancel_url"),
        fail_url=asked.url("fail_url"),
    )
    kakaopay.keep(payment)
    kakaopay.count(payment, "ready")
    return payment


def amount_of(asked: Asked) -> Sum:
    total, tax_free = asked.number("total_amount", least=1), asked.number("tax_free_amount")
    given = asked.maybe_number("vat_amount")
    amount = Sum(total, tax_free, vat(total - tax_free) if given is None else given)
    if tax_free + amount.vat > total:
        raise Refused(-722)
    return amount


# ── the buyer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def authenticate(kakaopay: KakaoPay, payment: Payment, method: object, decline: str | None) -> None:
    """The PIN is right: a pg_token. Nothing is charged before approve."""
    if payment.is_authenticated:
        return
    switches = kakaopay.world.switches
    payment.method = payment.only or (str(method) if method in METHODS else METHODS[0])
    letters = ALPHABETS[switches.text("pg_token_letters")]
    payment.pg_token = "".join(secrets.choice(letters) for _ in range(int(switches.number("pg_token_length"))))
    payment.status, payment.decline = "AUTH_PASSWORD", decline


# ── approve ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_cid(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if asked.cid() != payment.cid:
        raise wrong_cid(kakaopay.world.switches)


def check_expired(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if payment.expired(kakaopay.world.clock.now()):
        raise Refused(-723)


def check_approved(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if payment.status in PAID:
        raise Refused(kakaopay.world.switches.text("approve_again_code"))
    if payment.busy or payment.settles_at is not None:
        raise Refused(kakaopay.world.switches.text("approve_twice_code"))


def check_authenticated(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if not payment.is_authenticated:
        raise Refused(-701 if payment.status in PENDING else -783)


def check_ids(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if asked.text("partner_order_id", 100) != payment.partner_order_id:
        raise Refused(-706)
    if asked.text("partner_user_id", 100) != payment.partner_user_id:
        raise Refused(-707)


def check_token(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if asked.text("pg_token", 200) != payment.pg_token:
        raise Refused(-708)


def check_amount(kakaopay: KakaoPay, payment: Payment, asked: Asked) -> None:
    if asked.maybe_number("total_amount") not in (None, payment.amount.total):
        raise Refused(-725)


APPROVE_CHECKS: Mapping[str, Check] = {
    "cid": check_cid,
    "expired": check_expired,
    "approved": check_approved,
    "authenticated": check_authenticated,
    "ids": check_ids,
    "token": check_token,
    "amount": check_amount,
}


def approve(kakaopay: KakaoPay, asked: Asked, forced: Refused | None) -> Payment:
    asked.text("tid", 20)
    payment = known(kakaopay, asked)
    for name in kakaopay.world.switches.text("approve_checks").split(","):
        if name != "tid":  # without one there is nothing to check
            APPROVE_CHECKS[name](kakaopay, payment, asked)
    payload = asked.maybe_text("payload", 200)
    decline = Refused.read(payment.decline) if payment.decline else None
    if no := forced or decline:
        refuse(kakaopay, payment, no)
    kakaopay.take(payment, payload)
    return payment


def refuse(kakaopay: KakaoPay, payment: Payment, no: Refused) -> None:
    """What the payment method said no to is over, unless it may still say yes."""
    switches, now = kakaopay.world.switches, kakaopay.world.clock.now()
    payment.decline = None  # a later approve, where one is allowed, is not declined again
    if no.reason == "BANK_FIRM_UNKNOWN":
        payment.settles_at = now + switches.number("bank_unknown_seconds")
    elif no.reason == "USER_LOCKED":
        payment.status = switches.text("user_locked_status")
    elif no.code == -780:
        payment.status = "FAIL_PAYMENT"
    raise no


# ── order and cancel ─────────────────────────────────────────────────────────────────────────────────────────────────


def known(kakaopay: KakaoPay, asked: Asked) -> Payment:
    payment = kakaopay.find(asked.text("tid", 20))
    if payment is None:
        raise Refused(-721)
    return payment


def order(kakaopay: KakaoPay, asked: Asked) -> tuple[Payment, str]:
    payment = known(kakaopay, asked)
    check_cid(kakaopay, payment, asked)
    status = kakaopay.status(payment)
    if status.startswith("-"):
        raise Refused(status)
    return payment, status


def cancel(kakaopay: KakaoPay, asked: Asked, forced: Refused | None) -> tuple[Payment, Sum]:
    """What goes back is checked against what is left, part by part."""
    wanted, tax_free = asked.number("cancel_amount", least=1), asked.number("cancel_tax_free_amount")
    payment = known(kakaopay, asked)
    check_cid(kakaopay, payment, asked)
    if payment.busy:
        raise Refused(-785)
    if payment.status not in ("SUCCESS_PAYMENT", "PART_CANCEL_PAYMENT"):
        raise Refused(-784)
    left = payment.available
    if wanted > left.total:
        raise Refused(-711 if wanted > payment.amount.total else -710)
    if payment.green_deposit and wanted < left.total:
        raise Refused(-781, "1015")
    if asked.maybe_number("cancel_available_amount") not in (None, left.total):
        raise Refused(kakaopay.world.switches.text("wrong_cancel_available_code"))
    given = part(kakaopay, asked, Sum(wanted, tax_free), left)
    if forced:
        raise forced
    now = kakaopay.world.clock.now()
    payment.canceled, payment.canceled_at = payment.canceled + given, now
    payment.status = "PART_CANCEL_PAYMENT" if payment.available.total else "CANCEL_PAYMENT"
    payment.actions.append(Action(number("A", now), "CANCEL", wanted, now, asked.maybe_text("payload", 200)))
    return payment, given


def part(kakaopay: KakaoPay, asked: Asked, given: Sum, left: Sum) -> Sum:
    """With its VAT, which must fit the rest: not more than is left of it, and all of it at the end."""
    said = asked.maybe_number("cancel_vat_amount")
    given.vat = vat(given.total - given.tax_free) if said is None else said
    rest = left - given
    if given.tax_free + given.vat > given.total:
        raise Refused(-722)
    if min(rest.tax_free, rest.vat) < 0 or rest.tax_free + rest.vat > rest.total:
        raise Refused(kakaopay.world.switches.text("wrong_cancel_vat_code"))
    return given
