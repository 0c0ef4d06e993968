"""What a fresh shop is tried out with: 24 prompts, two accounts, and as much made-up history as one asks for.

The history is told by `History`, payment by payment, exactly as `payments` and `refunds` would have written it; only
faster: a million payments with everything that belongs to them, in one transaction and in under a minute.
"""

import base64
import gc
import math
import sqlite3
import tomllib
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import accumulate, islice, pairwise
from operator import itemgetter
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.auth import DEMO_EMAILS, hash_password
from app.clock import KST, now
from app.db import Database
from app.gateways.toss import SENTENCES
from app.models import MOVES, ORDER_ID_ALPHABET, Payment, Prompt, RefundStatus, Status, User
from app.payments import CONSENT_DIGEST

PROMPTS = Path(__file__).with_name("demo_prompts.toml")
BUYER_EMAIL, ADMIN_EMAIL = DEMO_EMAILS
BUYER_PASSWORD, ADMIN_PASSWORD = "buyer-demo-pass", "admin-demo-pass"

DAYS = 730
SECOND = 1_000_000  # History counts whole microseconds
DAY = 86_400 * SECOND
CHUNK = 20_000  # payments between two writes
LARGE = 20_000  # payments from which on it is faster to write without indexes and to build them afterwards

# Likelihoods of how a try to buy ends; the rest expires.
PAID, FAILED, CANCELED = 0.86, 0.055, 0.06
IN_DOUBT, REFUNDED, RETRIED = 0.003, 0.045, 0.6
NEW_BUYER, MEMBER = 1 / 3, 0.25

HOURS = (3, 2, 1, 1, 1, 1, 1, 2, 4, 6, 8, 8, 7, 7, 8, 8, 7, 6, 6, 7, 9, 10, 9, 6)  # payments by the hour in KST
WEEKDAYS = (1.1, 1.1, 1.05, 1.05, 0.95, 0.75, 0.9)
# When a reconciler that passes every 30 seconds asks after a payment nobody finishes: seconds since it was created.
CHECKS = (75, 105, 135, 195, 255, 375, 675, 1275, 3075)

SURNAMES = """
    김 kim 215 이 lee 147 박 park 84 최 choi 47 정 jung 43 강 kang 24 조 cho 21 윤 yoon 21 장 jang 20 임 lim 17
    한 han 15 오 oh 15 서 seo 15 신 shin 15 권 kwon 14 황 hwang 14 안 ahn 14 송 song 14 전 jeon 11 홍 hong 11
    유 yoo 13 고 ko 9
    문 moon 9 양 yang 9 손 son 9 배 bae 8 백 baek 7 허 heo 6 남 nam 5 심 shim 5 노 noh 5 하 ha 4 곽 kwak 4 성 sung 4
    차 cha 4 주 joo 4 우 woo 4 구 koo 4 민 min 3 류 ryu 3 나 na 3 진 jin 3 지 ji 3 엄 eom 3 채 chae 3 원 won 2
"""
GIVEN_NAMES = """
    민수 minsu 지훈 jihoon 성민 sungmin 현우 hyunwoo 준호 junho 영호 youngho 상우 sangwoo 진우 jinwoo 동현 donghyun
    민준 minjun 서준 seojun 도윤 doyoon 예준 yejun 시우 siwoo 하준 hajun 주원 joowon 지호 jiho 건우 gunwoo 우진 woojin
    선우 sunwoo 현준 hyunjun 정우 jungwoo 승현 seunghyun 승민 seungmin 재현 jaehyun 태영 taeyoung 경수 kyungsu
    성호 sungho 병철 byungchul 영수 youngsu 정훈 junghoon 상훈 sanghoon 종현 jonghyun 기범 kibum 태호 taeho 규현 kyuhyun
    찬영 chanyoung 인호 inho 용준 yongjun 대현 daehyun 은호 eunho 한결 hangyeol 지민 jimin 수빈 soobin 지원 jiwon
    민지 minji 서연 seoyeon 지은 jieun 혜진 hyejin 은정 eunjung 미영 miyoung 유진 yujin 수진 sujin 지영 jiyoung
    서윤 seoyoon 하은 haeun 지우 jiwoo 서현 seohyun 민서 minseo 하윤 hayoon 채원 chaewon 수아 sua 지아 jia 다은 daeun
    예은 yeeun 소연 soyeon 예진 yejin 은지 eunji 현정 hyunjung 선영 sunyoung 정은 jungeun 경희 kyunghee 영미 youngmi
    미경 mikyung 보람 boram 아름 areum 슬기 seulgi 나연 nayeon 가은 gaeun 윤아 yoona 유나 yuna 혜원 hyewon 주희 juhee
    소영 soyoung 은주 eunju 정희 junghee 희진 heejin 다영 dayoung 세영 seyoung 하늘 haneul 가영 gayoung 연우 yeonwoo
    진아 jina 효진 hyojin 민정 minjung 소희 sohee 은영 eunyoung 명숙 myungsook 순자 soonja 영순 youngsoon 해인 haein
"""
MAIL_HOSTS = ("example.com", "example.com", "example.com", "example.net", "example.org")

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
Moment = str | datetime
Stamp = Callable[[int], Moment]
Say = Callable[[str], None]

# What is not named here keeps its default. A moment comes last where rows wait until their time has come.
COLUMNS = {
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
AFTER = {kind: {before.value: after.value for before, after in moves.items()} for kind, moves in MOVES.items()}
STAYING = {status.value: status.value for status in Status}
AFTER |= dict.fromkeys(("created", "checked", "refund_requested", "refund_done"), STAYING)
NUMBERED = ("user", "payment")  # these bring their ids; the others get them as they are written, in order of time


async def fill(db: Database, payments: int = 0, seed: int = 1, say: Say = print) -> None:
    """Fill an empty shop, and add so many payments of the past two years: the same for the same seed and day."""
    async with db.write() as session:
        await _open_shop(session, say)
    if payments > 0:
        gc.disable()  # millions of tuples, and not one cycle among them
        try:
            await _add_payments(db, payments, seed, say)
        finally:
            gc.enable()


async def _open_shop(session: AsyncSession, say: Say) -> None:
    if (await session.exec(select(Prompt.id).limit(1))).first() is not None:
        return
    session.add_all(prompts())
    known = (await session.exec(select(User.email).where(col(User.email).in_(DEMO_EMAILS)))).all()
    session.add_all(user for user in accounts() if user.email not in known)
    say("프롬프트 24개와 데모 계정 2개를 넣었습니다.")


def prompts() -> list[Prompt]:
    with PROMPTS.open("rb") as file:
        return [Prompt(**entry) for entry in tomllib.load(file)["prompt"]]


def accounts() -> list[User]:
    buyer = User(email=BUYER_EMAIL, password_hash=hash_password(BUYER_PASSWORD), name="김찐", phone="01012345678")
    admin = User(email=ADMIN_EMAIL, password_hash=hash_password(ADMIN_PASSWORD), name="박부부", phone="01012340000")
    buyer.is_member = admin.is_admin = True
    return [buyer, admin]


async def _add_payments(db: Database, count: int, seed: int, say: Say) -> None:
    """One transaction: whoever stops it halfway has changed nothing."""
    begun = told = monotonic()
    history = await _begin(db, seed)
    slots = _slots(Random(f"{seed} when"), history.origin, count)  # noqa: S311
    large, done = count >= LARGE, 0
    opened = _sqlite(db, large) if db.is_sqlite else _postgres(db)
    async with opened as store, _rebuilding_indexes(store, say) if large else nullcontext():
        while chunk := list(islice(slots, CHUNK)):
            for slot in chunk:
                history.pay(slot)
            done += len(chunk)
            for table, rows in history.take(all_of_it=done == count):
                await store.insert(table, rows)
            if monotonic() - told >= 2:
                told = monotonic()
                say(f"결제 {done:>9,} / {count:,}건  {done / count:4.0%}  {told - begun:4.1f}초")
    say(f"결제 {count:,}건을 넣었습니다. {monotonic() - begun:.1f}초")


async def _begin(db: Database, seed: int) -> "History":
    """A history that goes on from what is stored already: its ids, and e-mail addresses that are taken."""
    async with db.read() as session:
        catalogue = (await session.exec(select(Prompt).order_by(col(Prompt.id)))).all()
        users = (await session.exec(select(func.max(User.id)))).one() or 0
        stored = (await session.exec(select(func.max(Payment.id)))).one() or 0
        emails = set((await session.exec(select(User.email))).all())
    today = (now() - timedelta(hours=1)).astimezone(KST).date()  # an hour: the last payments must have ended, too
    origin = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=DAYS + 1)
    stamp = _texts(origin) if db.is_sqlite else _datetimes(origin)
    chance = Random(f"{seed} after {stored}")  # noqa: S311  made-up data, the same for the same seed
    return History(chance, origin, stamp, catalogue, users, stored, emails)


def _texts(origin: datetime) -> Stamp:
    """Moments as SQLAlchemy stores them on SQLite: UTC, without an offset, always with microseconds."""
    days, seconds = _words(origin, "%Y-%m-%d ", "{:02}:{:02}:{:02}.")

    def stamp(moment: int) -> str:
        second, micro = divmod(moment, SECOND)
        return f"{days[second // 86_400]}{seconds[second % 86_400]}{micro:06}"

    return stamp


def _datetimes(origin: datetime) -> Stamp:
    def stamp(moment: int) -> datetime:
        return origin + timedelta(0, 0, moment)

    return stamp


def _words(origin: datetime, day: str, time: str) -> tuple[list[str], list[str]]:
    """Every day of the history and every second of a day as text: strftime is slow."""
    days = [f"{origin + timedelta(number):{day}}" for number in range(DAYS + 3)]
    return days, [time.format(second // 3600, second // 60 % 60, second % 60) for second in range(86_400)]


def _slots(chance: Random, origin: datetime, count: int) -> Iterator[int]:
    """When the payments begin, in order: growing over two years, by weekday and hour, no two days alike."""
    weights = [
        math.exp(1.8 * day / DAYS) * WEEKDAYS[(origin + timedelta(day + 1)).weekday()] * chance.lognormvariate(0, 0.15)
        for day in range(DAYS)
    ]
    share = count / sum(weights)
    ends = [round(weight * share) for weight in accumulate(weights, initial=0)]
    hours = [hour for hour, weight in enumerate(HOURS) for _ in range(weight)]
    for day, (start, end) in enumerate(pairwise(ends)):
        midnight = day * DAY + 15 * 3600 * SECOND  # KST midnight of day 0 is 15:00 UTC of the day that `origin` begins
        yield from sorted(
            midnight + int((chance.choice(hours) + chance.random()) * 3600 * SECOND) for _ in range(end - start)
        )


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
    """Tells one payment after the other, with all that follows from it. Moments are microseconds since `origin`."""

    def __init__(
        self,
        chance: Random,
        origin: datetime,
        stamp: Stamp,
        catalogue: Sequence[Prompt],
        users: int,
        payments: int,
        emails: set[str],
    ) -> None:
        self.chance, self.random, self.origin, self.stamp = chance, chance.random, origin, stamp
        self.until = (DAYS * 24 + 15) * 3600 * SECOND
        self.users, self.stored, self.emails = users, payments, emails
        self.popular = _popular(chance, catalogue)
        self.everything = (1 << len(catalogue)) - 1
        self.names = _Names(chance)
        self.windows = [_window(chance) for _ in range(4096)]
        self.days, self.seconds = _words(origin, "%Y%m%d", "{:02}{:02}{:02}")
        self.letters, self.at = "", 0
        self.last = 0
        self.buyers: list[Buyer] = []
        self.again: list[tuple[int, int, Buyer, Item]] = []  # who will try once more, and when
        self.rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self.events = self.rows["event"]

    def take(self, *, all_of_it: bool) -> Iterator[tuple[str, list[Row]]]:
        """The rows told so far, in order of time; what happens after the last payment waits, unless all is told."""
        horizon, moment = self.stamp(self.last), itemgetter(-1)
        for table, rows in self.rows.items():
            ready = len(rows)
            if table not in NUMBERED:
                rows.sort(key=moment)
                ready = ready if all_of_it else bisect_left(rows, horizon, key=moment)
            if ready:
                yield table, rows[:ready]
            del rows[:ready]

    def pay(self, slot: int) -> None:
        """One try to buy at `slot`, unless someone whose last try failed comes before."""
        at, buyer, item = self._who(slot)
        self.last = at
        self.stored += 1
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
        what = (self.stored, self._letters(24), buyer.id, item.id, "toss", "card", amount, item.price)
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
        name, email = self.names.make(self.emails)
        phone = f"0101{int(self.random() * 10_000_000):07}"  # no number in Korea begins like this
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
        self._tell("completed", actor, before, completed)
        buyer.owned |= item.bit
        back, revoked = self._refund(done, amount) if self.random() < REFUNDED else (0, None)
        self.rows["purchase"].append((buyer.id, item.id, self.stored, revoked, completed))
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
        return ("failed", key, None, 0, 0, code, SENTENCES[code], checks, checked, None, None)

    def _cancel(self, at: int, buyer: Buyer, item: Item) -> Row:
        code = CLOSED[int(self.random() * len(CLOSED))]
        ended, checks, checked = self._leave(at)
        self._tell("canceled", "buyer", "pending", self.stamp(ended), note=code)
        self._try_again(ended, buyer, item)
        return ("canceled", None, None, 0, 0, code, SENTENCES[code], checks, checked, None, None)

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
            heappush(self.again, (ended + int((8 + 240 * self.random()) * SECOND), self.stored, buyer, item))

    def _refund(self, done: int, amount: int) -> tuple[int, Moment | None]:
        """What was given back on the days after, and when it became the whole."""
        roll, part = self.random(), max(500, int(amount * (0.1 + 0.4 * self.random())) // 100 * 100)
        parts = [amount] if roll < 0.75 else [part] if roll < 0.95 else [part, amount - part]
        back, at = 0, done
        for number in parts:
            at = self._office_hours(at)
            closed = at + int((0.5 + 1.5 * self.random()) * SECOND)
            if closed > self.until:
                break
            back += number
            self._give_back(number, WHOLE if back == amount else PART, self.stamp(at), self.stamp(closed))
            if back == amount:
                self._tell("refunded", ADMIN_EMAIL, "completed", self.stamp(closed))
                return back, self.stamp(closed)
        return back, None

    def _give_back(self, amount: int, reasons: Sequence[str], asked: Moment, closed: Moment) -> None:
        reason = reasons[int(self.random() * len(reasons))]
        key, transaction = self._letters(24), f"txrd_a01{self._letters(24).lower()}"
        entry = (amount, reason, RefundStatus.DONE.value, ADMIN_EMAIL, transaction, closed, asked)
        self.rows["refund"].append((self.stored, key, *entry))
        self._tell("refund_requested", ADMIN_EMAIL, "completed", asked, amount, reason)
        self._tell("refund_done", ADMIN_EMAIL, "completed", closed, amount)

    def _office_hours(self, after: int) -> int:
        """Between 9:00 and 18:00 in KST (0:00 and 9:00 in UTC), mostly the next day."""
        days = 2 + int(self.chance.expovariate(0.6))
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
        self.events.append((self.stored, kind, actor, before, AFTER[kind][before], amount, note, at))

    def _payment_key(self, at: int) -> str:
        """In Toss's shape: five letters of the shop's id there, the time in KST, five letters."""
        second = at // SECOND + 9 * 3600
        return f"tviva{self.days[second // 86_400]}{self.seconds[second % 86_400]}{self._letters(5)}"

    def _letters(self, count: int) -> str:
        if self.at + count > len(self.letters):
            letters = base64.b64encode(self.chance.randbytes(30_000), ORDER_ID_ALPHABET[:2].encode())
            self.letters, self.at = letters.decode(), 0
        self.at += count
        return self.letters[self.at - count : self.at]


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


class _Names:
    """Korean names as frequent as they are, with e-mail addresses that go with them."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        words = SURNAMES.split()
        surnames = zip(words[::3], words[1::3], map(int, words[2::3]), strict=True)
        self.surnames = [(hangul, latin) for hangul, latin, weight in surnames for _ in range(weight)]
        words = GIVEN_NAMES.split()
        self.given = list(zip(words[::2], words[1::2], strict=True))

    def make(self, taken: set[str]) -> tuple[str, str]:
        """A name and an address that is not taken yet; it is then."""
        random = self.chance.random
        surname, last = self.surnames[int(random() * len(self.surnames))]
        given, first = self.given[int(random() * len(self.given))]
        year = int(66 + 42 * random()) % 100
        local = (f"{first}.{last}", f"{first}{last}", f"{last}{first}", f"{last}.{first}")[int(random() * 4)]
        host = MAIL_HOSTS[int(random() * len(MAIL_HOSTS))]
        email = f"{local}{year:02}@{host}"
        while email in taken:
            email = f"{local}{int(random() * 10_000):04}@{host}"
        taken.add(email)
        return surname + given, email


# ── writing it down ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Sqlite:
    indexes = """
        SELECT 'DROP INDEX "' || name || '"', sql FROM sqlite_master
        WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('user', 'payment', 'purchase', 'refund', 'event')
    """
    after: tuple[str, ...] = ()

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    async def run(self, statement: str) -> list[Row]:
        return list(self.driver.execute(statement))

    async def insert(self, table: str, rows: list[Row]) -> None:
        names, marks = ", ".join(f'"{name}"' for name in COLUMNS[table]), ", ".join("?" * len(COLUMNS[table]))
        self.driver.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)  # noqa: S608


class _Postgres(_Sqlite):
    indexes = """
        WITH ours AS (
            SELECT oid FROM pg_class WHERE relname IN ('user', 'payment', 'purchase', 'refund', 'event')
            AND relnamespace = current_schema()::regnamespace
        )
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
            format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE contype IN ('f', 'u') AND conrelid IN (SELECT oid FROM ours)
        UNION ALL
        SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
        FROM pg_index WHERE indrelid IN (SELECT oid FROM ours)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
    """
    after = ('ANALYZE "user", payment, purchase, refund, event',)

    async def run(self, statement: str) -> list[Row]:
        return [tuple(row) for row in await self.driver.fetch(statement)]

    async def insert(self, table: str, rows: list[Row]) -> None:
        await self.driver.copy_records_to_table(table, records=rows, columns=COLUMNS[table])


@asynccontextmanager
async def _sqlite(db: Database, large: bool) -> AsyncIterator[_Sqlite]:
    """One transaction on a connection of its own, whose settings end with it; it does not look up foreign keys."""
    await db.close()  # idle connections: the journal can be changed only while nobody else is connected
    connection = sqlite3.connect(db.url.database or "", isolation_level=None)
    try:
        if large:
            connection.execute("PRAGMA cache_size = -262144")
            with suppress(sqlite3.OperationalError):  # somebody is connected: then it takes a little longer
                # New pages need no undoing: they go straight to the file, and not through the WAL first.
                connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        yield _Sqlite(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@asynccontextmanager
async def _postgres(db: Database) -> AsyncIterator[_Postgres]:
    """One transaction of the driver's: COPY is not SQLAlchemy's."""
    async with db.write() as session:
        driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        async with driver.transaction():
            store = _Postgres(driver)
            await store.run("SET LOCAL maintenance_work_mem = '256MB'")
            yield store
            for table in NUMBERED:  # their ids did not come from the sequence
                reach = f"setval(pg_get_serial_sequence('\"{table}\"', 'id'), max(id))"
                await store.run(f'SELECT {reach} FROM "{table}"')  # noqa: S608


@asynccontextmanager
async def _rebuilding_indexes(store: _Sqlite, say: Say) -> AsyncIterator[None]:
    """No secondary indexes (PostgreSQL: no foreign keys either) inside the block; all of them again after it."""
    indexes = await store.run(store.indexes)
    for drop, _ in indexes:
        await store.run(drop)
    yield
    say("색인을 만드는 중 …")
    for statement in (*(create for _, create in indexes), *store.after):
        await store.run(statement)
