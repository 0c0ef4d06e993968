"""Coming in, staying, leaving: and what it costs somebody who guesses."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
import time_machine
from argon2 import PasswordHasher
from itsdangerous import TimestampSigner
from limits import RateLimitItemPerMinute
from sqlalchemy import delete
from sqlmodel import col, select

from app import auth
from app.models import User
from tests import story
from tests.conftest import House, Visitor
from tests.fragments import assert_page, assert_refused_form, one, words

NEW = {"email": "new@example.com", "password": "quite a long one", "name": "새손님", "phone": "010-2222-3333"}
WRONG = "이메일 또는 비밀번호가 맞지 않습니다."


def session_of(visitor: Visitor) -> dict[str, Any]:
    """What the cookie says, to whoever can read base64."""
    content: dict[str, Any] = json.loads(b64decode(visitor.cookies["session"].split(".")[0]))
    return content


def let_in(visitor: Visitor) -> bool:
    return bool(visitor.get("/purchases").status_code == 200)


def guess(
    house: House,
    email: str = story.BUYER,
    password: str = "wrong password",
    address: str = "testclient",
) -> Any:
    return house.visitor(address=address).post("/login", data={"email": email, "password": password})


@contextmanager
def later(**much: float) -> Iterator[None]:
    with time_machine.travel(datetime.now(UTC) + timedelta(**much)):
        yield


# ── coming in and leaving ────────────────────────────────────────────────────────────────────────────────────────────


def test_registering_makes_an_account_and_lets_it_in(house: House, stranger: Visitor) -> None:
    answer = stranger.post("/register", data=NEW | {"email": " New@Example.COM ", "next": "/purchases"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/purchases")
    assert_page(stranger.get("/purchases"), "내 프롬프트")
    user = house.rows(select(User).where(col(User.email) == "new@example.com"))[0]
    assert (user.name, user.phone, user.is_admin, user.is_member) == ("새손님", "01022223333", False, False)
    assert let_in(house.visitor().log_in("NEW@example.com", NEW["password"]))


def test_nobody_becomes_an_admin_by_asking(house: House, stranger: Visitor) -> None:
    stranger.post("/register", data=NEW | {"is_admin": "true", "is_member": "on", "epoch": "9", "id": "1"})
    user = house.rows(select(User).where(col(User.email) == NEW["email"]))[0]
    assert (user.is_admin, user.is_member, user.epoch) == (False, False, 0)
    assert stranger.get("/admin/payments").status_code == 403


def test_passwords_are_argon2_in_the_database(house: House, stranger: Visitor) -> None:
    stranger.post("/register", data=NEW)
    hashes = {user.email: user.password_hash for user in house.rows(select(User))}
    assert hashes[NEW["email"]].startswith("$argon2id$")
    assert auth.hasher.verify(hashes[NEW["email"]], NEW["password"])
    assert NEW["password"] not in str(hashes)
    assert len(set(hashes.values())) == 2, "the story's people share one hash; the newcomer has a salt of his own"


def test_logging_out_ends_the_session_here_only(house: House, buyer: Visitor) -> None:
    elsewhere = house.visitor(story.BUYER)
    answer = buyer.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert not let_in(buyer)
    assert "로그인" in words(assert_page(buyer.get("/")))
    assert let_in(elsewhere)


def test_a_copy_of_the_cookie_is_over_with_the_session(house: House, buyer: Visitor) -> None:
    copied = {"Cookie": f"session={buyer.cookies['session']}"}
    assert house.visitor().get("/purchases", headers=copied).status_code == 200
    assert buyer.post("/logout").status_code == 303
    assert house.visitor().get("/purchases", headers=copied).status_code == 303
    assert house.visitor().get("/api/admin/payments", headers=copied).status_code == 401
    assert house.visitor().post("/logout", headers=copied).status_code == 303, "once more harms nothing"
    assert len(house.rows(select(auth.EndedSession))) == 1


def test_two_who_end_one_session_at_one_moment_both_leave(house: House, buyer: Visitor) -> None:
    copied = {"Cookie": f"session={buyer.cookies['session']}"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: house.visitor().post("/logout", headers=copied), range(8)))
    assert [answer.status_code for answer in answers] == [303] * 8
    assert len(house.rows(select(auth.EndedSession))) == 1


def test_an_ended_session_is_forgotten_when_its_cookie_is_too_old_anyway(house: House, buyer: Visitor) -> None:
    other = house.visitor(story.OTHER)
    ended = session_of(buyer)["id"]
    buyer.post("/logout")
    with later(days=13):
        house.visitor(story.BUYER).post("/logout")
        assert ended in {row.id for row in house.rows(select(auth.EndedSession))}
        assert let_in(other)
    with later(days=15):
        other.post("/logout")
        assert ended not in {row.id for row in house.rows(select(auth.EndedSession))}


def test_logging_out_everywhere_ends_every_device(house: House, buyer: Visitor, other: Visitor) -> None:
    devices = [house.visitor(story.BUYER) for _ in range(2)]
    buyer.post("/logout", data={"everywhere": "on"})
    assert not any(let_in(device) for device in (buyer, *devices))
    assert let_in(other)
    assert let_in(house.visitor(story.BUYER)), "logging in again works"


def test_logging_in_begins_a_new_session(house: House, buyer: Visitor) -> None:
    """Whatever was in the session before, an attacker may have put there."""
    first = session_of(buyer)
    buyer.log_in(story.OTHER)
    second = session_of(buyer)
    assert first["id"] != second["id"]
    assert first["user"] != second["user"]
    assert set(second) == set(first), "nothing is carried over, nothing is added"
    assert not {"email", "name", "phone", "password"} & set(second), "a cookie can be read"


def test_a_forged_or_borrowed_cookie_is_nobody(house: House, buyer: Visitor, other: Visitor) -> None:
    mine, theirs = buyer.cookies["session"], other.cookies["session"]
    payload, stamp, signature = mine.split(".")
    for cookie in (
        f"{theirs.split('.')[0]}.{stamp}.{signature}",
        f"{payload}.{stamp}.{signature[:-2]}AA",
        f"{payload}.{stamp}",
        payload,
        "",
    ):
        visitor = house.visitor()
        assert visitor.get("/purchases", headers={"Cookie": f"session={cookie}"}).status_code == 303, cookie
    assert house.visitor().get("/purchases", headers={"Cookie": f"session={mine}"}).status_code == 200


def test_a_deleted_user_is_nobody(house: House, stranger: Visitor) -> None:
    stranger.post("/register", data=NEW)
    assert let_in(stranger)

    async def remove(session: Any) -> None:
        await session.exec(delete(User).where(col(User.email) == NEW["email"]))

    house.change(remove)
    assert not let_in(stranger)
    assert stranger.get("/api/admin/payments").status_code == 401
    assert_page(stranger.get("/"), "로그인")


# ── staying ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("email", "limit"), [(story.BUYER, timedelta(days=14)), (story.ADMIN, timedelta(hours=8))])
def test_a_session_ends_when_it_is_idle_too_long(house: House, email: str, limit: timedelta) -> None:
    visitor = house.visitor(email)
    stolen = {"Cookie": f"session={visitor.cookies['session']}"}  # sent for ever, whatever the browser forgets
    for wait, status in ((limit - timedelta(minutes=2), 200), (limit + timedelta(minutes=2), 303)):
        with later(seconds=wait.total_seconds()):
            assert house.visitor().get("/purchases", headers=stolen).status_code == status, wait


@pytest.mark.parametrize(("email", "step"), [(story.BUYER, timedelta(days=13)), (story.ADMIN, timedelta(hours=7))])
def test_a_session_that_is_used_goes_on(house: House, email: str, step: timedelta) -> None:
    visitor = house.visitor(email)
    for times in (1, 2, 3):
        with later(seconds=(times * step).total_seconds()):
            assert let_in(visitor), times
    with later(seconds=(5 * step).total_seconds()):
        assert not let_in(visitor)


def test_an_admin_logs_in_again_after_a_day_however_busy(house: House, admin: Visitor, buyer: Visitor) -> None:
    for hours in (6, 12, 18, 23):
        with later(hours=hours):
            assert let_in(admin), hours
    with later(hours=25):
        assert not let_in(admin)
        assert let_in(buyer)


def test_a_session_from_before_sessions_told_when_they_began_is_read_too(house: House) -> None:
    signer = TimestampSigner(str(house.settings.secret_key))
    for email, status in ((story.BUYER, 200), (story.ADMIN, 303)):
        session = session_of(house.visitor(email))
        del session["began"]
        cookie = signer.sign(b64encode(json.dumps(session).encode())).decode()
        assert house.visitor().get("/purchases", headers={"Cookie": f"session={cookie}"}).status_code == status


def test_the_cookie_is_not_written_again_with_every_page(buyer: Visitor) -> None:
    assert "set-cookie" not in buyer.get("/purchases").headers
    with later(minutes=2):
        assert "set-cookie" in buyer.get("/purchases").headers


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class CountingHasher(PasswordHasher):
    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.work: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.work.append("verify")
        return super().verify(hash, password)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.work.append("hash")
        return super().hash(password, salt=salt)


def test_a_wrong_password_and_an_unknown_email_are_answered_alike_for_the_same_work(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess(house, "somebody@example.com")  # the hash that nobody has is made once a process
    hasher = CountingHasher()
    monkeypatch.setattr(auth, "hasher", hasher)
    answers = []
    for email in (story.BUYER, "nobody@example.com"):
        hasher.work.clear()
        answers.append(guess(house, email))
        assert hasher.work == ["verify"], email
    known, unknown = answers
    assert_refused_form(known, WRONG, status=422)
    assert known.status_code == unknown.status_code
    assert known.text.replace(story.BUYER, "nobody@example.com") == unknown.text
    assert set(known.headers) == set(unknown.headers)


def test_the_eleventh_try_on_an_account_waits_and_others_come_in(house: House) -> None:
    for _ in range(10):
        assert guess(house).status_code == 422
    for email in (story.BUYER, story.BUYER.upper(), f" {story.BUYER} "):
        answer = guess(house, email, story.PASSWORD)
        assert_refused_form(answer, "15분 뒤에 다시", status=429)
        assert answer.headers["retry-after"] == "900"
        assert "set-cookie" not in answer.headers
    assert let_in(house.visitor(story.OTHER))
    with later(minutes=16):
        assert guess(house, story.BUYER, story.PASSWORD).status_code == 303


def test_who_guesses_does_not_lock_the_owner_out(house: House) -> None:
    for _ in range(12):
        guess(house, address="203.0.113.9")
    assert guess(house, story.BUYER, story.PASSWORD, address="203.0.113.9").status_code == 429
    assert guess(house, story.BUYER, story.PASSWORD, address="198.51.100.1").status_code == 303


def test_one_network_of_ipv6_is_one_address(house: House) -> None:
    for number in range(10):
        assert guess(house, address=f"2001:db8:0:7::{number}").status_code == 422
    assert guess(house, address="2001:db8:0:7:ffff::1").status_code == 429
    assert guess(house, address="2001:db8:0:8::1").status_code == 422
    assert [guess(house, address=f"::ffff:203.0.113.{number}").status_code for number in range(12)] == [422] * 12


def test_guesses_from_many_addresses_wait_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FROM_ANYWHERE", RateLimitItemPerMinute(25, 15))
    statuses = [guess(house, address=f"203.0.113.{number // 12}").status_code for number in range(36)]
    assert statuses == ([422] * 10 + [429] * 2) * 2 + [422] * 5 + [429] * 7
    assert guess(house, story.OTHER, story.PASSWORD, address="203.0.113.9").status_code == 303
    with later(minutes=16):
        assert guess(house, story.BUYER, story.PASSWORD, address="203.0.113.9").status_code == 303


def test_an_account_that_does_not_exist_is_throttled_like_one_that_does(house: House) -> None:
    statuses = [guess(house, "nobody@example.com").status_code for _ in range(12)]
    assert statuses == [422] * 10 + [429] * 2


def test_one_network_does_not_make_accounts_without_end(
    stranger: Visitor, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "NEWCOMERS", RateLimitItemPerMinute(2, 15))
    for name in ("first", "second"):
        assert house.visitor().post("/register", data=NEW | {"email": f"{name}@example.com"}).status_code == 303
    answer = stranger.post("/register", data=NEW)
    assert_refused_form(answer, "15분 뒤에 다시", status=429)
    assert one(answer.text, "#email")["value"] == NEW["email"]
    assert answer.headers["retry-after"] == "900"
    assert not let_in(stranger)
    with later(minutes=16):
        assert stranger.post("/register", data=NEW).status_code == 303


def test_coming_in_forgives_the_wrong_tries_before(house: House) -> None:
    for _ in range(3):
        for _ in range(8):
            assert guess(house).status_code == 422
        assert guess(house, story.BUYER, story.PASSWORD).status_code == 303


def test_one_address_cannot_try_every_account(house: House) -> None:
    for number in range(50):
        assert guess(house, f"victim{number}@example.com").status_code == 422
    assert guess(house, "victim50@example.com").status_code == 429
    assert guess(house, story.OTHER, story.PASSWORD).status_code == 429, "the address waits, whoever it claims to be"
    with later(minutes=16):
        assert guess(house, story.OTHER, story.PASSWORD).status_code == 303


def test_guesses_at_the_same_time_count_too(house: House) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: guess(house), range(24))]
    assert sorted(statuses) == [422] * 10 + [429] * 14
