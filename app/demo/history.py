"""Two years of a shop that never was: buyers, payments and all that follows from them.

It is told payment by payment, exactly as `payments` and `refunds` would have written it.
"""

import base64
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from operator import itemgetter
from random import Random
from typing import Any

from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlmodel import SQLModel

from app.auth import DEMO_EMAILS
from app.demo.calendar import DAY, SECOND, UNTIL, Moment, Stamp, words
from app.demo.people import People
from app.models import MOVES, Prompt, RefundStatus, Status, User
from app.order_id import LETTERS
from app.orders import CONSENT_DIGEST

ADMIN_EMAIL = DEMO_EMAILS[1]

# Likelihoods of how a try to buy ends; the rest expires.
PAID, FAILED, CANCELED = 0.86, 0.055, 0.06
IN_DOUBT, REFUNDED, RETRIED = 0.003, 0.045, 0.6
NEW_BUYER, MEMBER = 1 / 3, 0.25

# When a reconciler that passes every 30 seconds asks after a payment nobody finishes: seconds since it was created.
CHECKS = (75, 105, 135, 195, 255, 375, 675, 1275, 3075)

DECLINES = (
    *["REJECT_CARD_PAYMENT"] * 11,
    *["REJECT_CARD_COMPANY"] * 4,
    *["INVALID_CARD_EXPIRATION", "INVALID_STOPPED_CARD", "INVALID_PASSWORD"],
    *["INVALID_CARD_LOST_OR_STOLEN", "NOT_AVAILABLE_PAYMENT"],
)
WINDOW_ENDS = ("PAY_PROCESS_ABORTED", "PAY_PROCESS_ABORTED", "REJECT_CARD_COMPANY")
CLOSED = ("PAY_PROCESS_CANCELED", "PAY_PROCESS_CANCELED", "PAY_PROCESS_CANCELED", "USER_CANCEL")
EXPIRED = ("EXPIRED_PAYMENT", "결제가 만료되었습니다. 다시 시도해주세요.")
WHOLE = (
    "설명과 달라 환불 요청",
    "결제 직후 구매 취소 요청",
    "다른 프롬프트로 교환",
    "실수로 구매",
    "열람 전 단순 변심",
)
PART = ("회원가 미적용 차액 환불", "할인 행사 가격 차액 환불", "내용 일부 오류에 대한 보상", "이용 불편 보상")

Row = tuple[Any, ...]
# A moment comes last where rows wait until their time has come.
TOLD = {
    "user": "id email password_hash name phone is_member is_admin epoch created_at".split(),
    "payment": """
        id order_id user_id prompt_id gateway payment_method amount list_price buyer_name buyer_email buyer_phone
        item_name consent_digest consented_at created_at status pg_transaction_id pg_secret
        paid_amount refunded_amount failure_code failure_message checks checked_at completed_at refunded_at
    """.split(),
    "purchase": "user_id prompt_id payment_id revoked_at created_at".split(),
    "refund": "payment_id key amount reason status requested_by pg_transaction_id done_at created_at".split(),
    "event": "payment_id kind actor before after amount note at".split(),
}
# What the history does not tell has its default. (What may be empty is empty.)
DEFAULTS = {
    table: {
        column.name: column.default.arg
        for column in SQLModel.metadata.tables[table].columns
        if column.name not in told and not column.nullable and isinstance(column.default, ScalarElementColumnDefault)
    }
    for table, told in TOLD.items()
}
COLUMNS = {table: [*DEFAULTS[table], *told] for table, told in TOLD.items()}
AFTER = {kind: {before.value: after.value for before, after in moves.items()} for kind, moves in MOVES.items()}
STAYING = {status.value: status.value for status in Status}
AFTER |= dict.fromkeys(("created", "checked", "refund_requested", "refund_done"), STAYING)
NUMBERED = ("user", "payment")  # these bring their ids; the others get them as they are written, in order of time


@dataclass(slots=True)
class Buyer:
    id: int
    name: str
    email: str
    phone: str
    is_member: bool
    owned: int = 0  # one bit for every prompt


@dataclass(slots=True)
class Item:
    bit: int
    id: int
    title: str
    price: int
    member_price: int


class History:
    """Tells one payment after the other, with all that follows from it.

    It goes on after so many `users` and `payments`; `sentences` are the PG's codes in a buyer's words.
    """

    def __init__(
        self,
        chance: Random,
        origin: datetime,
        stamp: Stamp,
        *,
        people: People,
        catalogue: Sequence[Prompt],
        sentences: Mapping[str, str],
        users: int,
        payments: int,
    ) -> None:
        self.chance, self.random, self.stamp = chance, chance.random, stamp
        self.people, self.sentences = people, sentences
        self.users, self.payments = users, payments
        self.popular = _popular(chance, catalogue)
        self.everything = (1 << len(catalogue)) - 1
        self.windows = [_window(chance) for _ in range(4096)]
        self.days, self.seconds = words(origin, "%Y%m%d", "{:02}{:02}{:02}")
        self.letters, self.read = "", 0
        self.last = 0
        self.buyers: list[Buyer] = []
        self.again: list[tuple[int, int, Buyer, Item]] = []  # when, and who will try once more
        self.rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}

    def take(self, *, all_of_it: bool) -> Iterator[tuple[str, list[Row]]]:
        """The rows told so far, in order of time; what happens after the last payment waits, unless all is told."""
        horizon, moment = self.stamp(self.last), itemgetter(-1)
        for table, rows in self.rows.items():
            ready = len(rows)
            if table not in NUMBERED:
                rows.sort(key=moment)
                ready = ready if all_of_it else bisect_left(rows, horizon, key=moment)
            if ready:
                defaults = tuple(DEFAULTS[table].values())
                yield table, [defaults + row for row in rows[:ready]] if defaults else rows[:ready]
            del rows[:ready]

    def pay(self, slot: int) -> None:
        """One try to buy at `slot`, unless someone whose last try failed comes before."""
        at, buyer, item = self._who(slot)
        self.last = at
        self.payments += 1
        amount = item.member_price if buyer.is_member else item.price
        created = self.stamp(at)
        self._tell("created", "buyer", "pending", created)
        roll = self.random()
        if roll < PAID:
            outcome = self._complete(at, buyer, item, amount)
        elif roll < PAID + FAILED:
            outcome = self._decline(at, buyer, item)
        elif roll < PAID + FAILED + CANCELED:
            outcome = self._cancel(at, buyer, item)
        else:
            outcome = self._expire(at)
        who = (buyer.name, buyer.email, buyer.phone, item.title, CONSENT_DIGEST, created, created)
        what = (self.payments, self._letters(24), buyer.id, item.id, "toss", "card", amount, item.price)
        self.rows["payment"].append(what + who + outcome)

    def _who(self, slot: int) -> tuple[int, Buyer, Item]:
        if self.again and self.again[0][0] <= slot:
            at, _, buyer, item = heappop(self.again)
            if not buyer.owned & item.bit:
                return max(at, self.last), buyer, item
        buyer = self._buyer(slot)
        item = self._item()
        while buyer.owned & item.bit:
            item = self._item()
        return slot, buyer, item

    def _buyer(self, at: int) -> Buyer:
        """Someone new, or someone who was here before, rather lately than long ago."""
        if self.buyers and self.random() > NEW_BUYER:
            buyer = self.buyers[int(len(self.buyers) * self.random() ** 0.6)]
            if buyer.owned != self.everything:
                return buyer
        self.users += 1
        name, email, phone = self.people.make()
        buyer = Buyer(self.users, name, email, phone, self.random() < MEMBER)
        self.buyers.append(buyer)
        joined = self.stamp(at - int((20 + 600 * self.random()) * SECOND))
        self.rows["user"].append((self.users, email, "!", name, phone, buyer.is_member, False, 0, joined))
        return buyer

    def _item(self) -> Item:
        return self.popular[int(len(self.popular) * self.random())]

    def _complete(self, at: int, buyer: Buyer, item: Item, amount: int) -> Row:
        claimed, checks, checked = self._claim(at)
        key = self._payment_key(at)
        before, actor, done = "confirming", "buyer", claimed + int((0.4 + 1.5 * self.random()) * SECOND)
        if self.random() < IN_DOUBT:
            before, actor, checks, looked = "in_doubt", "reconciler", checks + 1, self._doubt(claimed)
            checked, done = self.stamp(looked), looked + int((0.2 + self.random()) * SECOND)
        completed = self.stamp(done)
        self._tell("completed", actor, before, completed, amount)
        buyer.owned |= item.bit
        back, revoked = self._refund(done, amount) if self.random() < REFUNDED else (0, None)
        self.rows["purchase"].append((buyer.id, item.id, self.payments, revoked, completed))
        status = "refunded" if revoked else "completed"
        return (status, key, f"ps_{self._letters(28)}", amount, back, None, None, checks, checked, completed, revoked)

    def _claim(self, at: int) -> tuple[int, int, Moment | None]:
        window, checks, checked = self.windows[int(self.random() * 4096)]
        claimed = at + window + int(self.random() * SECOND)
        self._tell("claimed", "buyer", "pending", self.stamp(claimed))
        return claimed, checks, self.stamp(at + checked) if checks else None

    def _doubt(self, claimed: int) -> int:
        """The PG did not answer within 20 seconds; the reconciler finds out."""
        silent = claimed + 20 * SECOND
        self._tell("doubted", "buyer", "confirming", self.stamp(silent), note="ReadTimeout")
        looked = silent + int((5 + 30 * self.random()) * SECOND)
        self._tell("checked", "reconciler", "in_doubt", self.stamp(looked))
        return looked

    def _decline(self, at: int, buyer: Buyer, item: Item) -> Row:
        """By the card company when we confirm; one in three already in the PG's window."""
        if self.random() < 0.67:
            code = DECLINES[int(self.random() * len(DECLINES))]
            ended, checks, checked = self._claim(at)
            ended += int((0.3 + self.random()) * SECOND)
            before, key = "confirming", self._payment_key(at)
        else:
            code = WINDOW_ENDS[int(self.random() * len(WINDOW_ENDS))]
            ended, checks, checked = self._leave(at)
            before, key = "pending", None
        self._tell("declined", "buyer", before, self.stamp(ended), note=code)
        self._try_again(ended, buyer, item)
        return ("failed", key, None, 0, 0, code, self.sentences[code], checks, checked, None, None)

    def _cancel(self, at: int, buyer: Buyer, item: Item) -> Row:
        code = CLOSED[int(self.random() * len(CLOSED))]
        ended, checks, checked = self._leave(at)
        self._tell("canceled", "buyer", "pending", self.stamp(ended), note=code)
        self._try_again(ended, buyer, item)
        return ("canceled", None, None, 0, 0, code, self.sentences[code], checks, checked, None, None)

    def _leave(self, at: int) -> tuple[int, int, Moment | None]:
        window, checks, checked = self.windows[int(self.random() * 4096)]
        return at + window + int(self.random() * SECOND), checks, self.stamp(at + checked) if checks else None

    def _expire(self, at: int) -> Row:
        """Nobody came back: either the PG lets the order expire, or it has never heard of it."""
        code, message = EXPIRED if self.random() < 0.6 else (None, None)
        looked = at + int((CHECKS[-1] - 15 + 30 * self.random()) * SECOND)
        ended = looked + int((0.1 + 0.4 * self.random()) * SECOND)
        self._tell("expired", "reconciler", "pending", self.stamp(ended), note=code)
        return ("expired", None, None, 0, 0, code, message, len(CHECKS), self.stamp(looked), None, None)

    def _try_again(self, ended: int, buyer: Buyer, item: Item) -> None:
        if self.random() < RETRIED:
            heappush(self.again, (ended + int((8 + 240 * self.random()) * SECOND), self.payments, buyer, item))

    def _refund(self, done: int, amount: int) -> tuple[int, Moment | None]:
        """What was given back on the days after, and when it became the whole."""
        roll, part = self.random(), max(500, int(amount * (0.1 + 0.4 * self.random())) // 100 * 100)
        parts = [amount] if roll < 0.75 else [part] if roll < 0.95 else [part, amount - part]
        back, at = 0, done
        for number in parts:
            at = self._office_hours(at)
            closed = at + int((0.5 + 1.5 * self.random()) * SECOND)
            if closed > UNTIL:
                break
            back += number
            self._give_back(number, WHOLE if back == amount else PART, self.stamp(at), self.stamp(closed))
            if back == amount:
                self._tell("refunded", ADMIN_EMAIL, "completed", self.stamp(closed))
                return back, self.stamp(closed)
        return back, None

    def _give_back(self, amount: int, reasons: Sequence[str], asked: Moment, closed: Moment) -> None:
        reason = reasons[int(self.random() * len(reasons))]
        key, transaction = f"{self.chance.getrandbits(128):032x}", f"txrd_a01{self._letters(24).lower()}"
        entry = (amount, reason, RefundStatus.DONE.value, ADMIN_EMAIL, transaction, closed, asked)
        self.rows["refund"].append((self.payments, key, *entry))
        self._tell("refund_requested", ADMIN_EMAIL, "completed", asked, amount, reason)
        self._tell("refund_done", ADMIN_EMAIL, "completed", closed, amount)

    def _office_hours(self, after: int) -> int:
        """Between 9:00 and 18:00 in KST (0:00 and 9:00 in UTC), mostly the next day."""
        days = 1 + int(self.chance.expovariate(0.6))
        return (after // DAY + days) * DAY + int(self.random() * 9 * 3600 * SECOND)

    def _tell(
        self,
        kind: str,
        actor: str,
        before: str,
        at: Moment,
        amount: int | None = None,
        note: str | None = None,
    ) -> None:
        self.rows["event"].append((self.payments, kind, actor, before, AFTER[kind][before], amount, note, at))

    def _payment_key(self, at: int) -> str:
        """In Toss's shape: five letters of the shop's id there, the time in KST, five letters."""
        second = at // SECOND + 9 * 3600
        return f"tviva{self.days[second // 86_400]}{self.seconds[second % 86_400]}{self._letters(5)}"

    def _letters(self, count: int) -> str:
        """Letters and digits by chance, made in bulk."""
        if self.read + count > len(self.letters):
            letters = base64.b64encode(self.chance.randbytes(30_000), LETTERS[:2].encode())
            self.letters, self.read = letters.decode(), 0
        self.read += count
        return self.letters[self.read - count : self.read]


def _popular(chance: Random, catalogue: Sequence[Prompt]) -> list[Item]:
    """Every prompt as often as it sells compared with the others."""
    member = User(email="", password_hash="", name="", phone="", is_member=True)
    items = [
        Item(1 << number, prompt.id or 0, prompt.title, prompt.price, prompt.price_for(member))
        for number, prompt in enumerate(catalogue)
    ]
    chance.shuffle(items)
    return [item for rank, item in enumerate(items) for _ in range(math.ceil(400 / (rank + 4)))]


def _window(chance: Random) -> tuple[int, int, int]:
    """How long somebody is in the PG's window, how often the reconciler asks meanwhile, and when for the last time."""
    seconds = min(580.0, max(12.0, chance.lognormvariate(3.8, 0.6)))
    checks = bisect_right(CHECKS, seconds)
    return int(seconds * SECOND), checks, CHECKS[checks - 1] * SECOND if checks else 0
