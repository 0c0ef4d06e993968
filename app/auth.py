"""Who is there: passwords, sessions, tokens, and who may enter which endpoint."""

import asyncio
import contextlib
import functools
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import bindparam, delete, exists
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.clock import now
from app.config import Misconfigured, Settings
from app.db import Database, among
from app.models import ApiToken, User
from app.render import wants_fragment
from app.roles import Permission
from app.till import Till

Endpoint = Callable[[Request], Awaitable[Response]]

hasher = PasswordHasher()
# argon2 is slow and hungry on purpose: a crowd at the door must not take every core.
HASHING = ThreadPoolExecutor(2, "argon2")

IDLE = timedelta(days=14)
ADMIN_IDLE = timedelta(hours=8)
ADMIN_LONGEST = timedelta(hours=24)  # however busy: a stolen cookie must not be kept alive for ever
TOUCH = 60  # seconds: how old "seen" may be before the cookie is written again

NOT_ALLOWED = "이 일을 할 권한이 없습니다. 소유자에게 권한을 요청해 주세요."

DEMO_EMAILS = ("buyer@example.com", "admin@example.com")

PER_ACCOUNT = RateLimitItemPerMinute(10, 15)  # tries from one address, minutes: nobody else locks the owner out
FROM_ANYWHERE = RateLimitItemPerMinute(100, 15)  # tries of one account, minutes; against guessing from many addresses
PER_ADDRESS = RateLimitItemPerMinute(50, 15)  # failures, minutes
NEWCOMERS = RateLimitItemPerMinute(600, 15)  # accounts, minutes; a whole school may stand behind one address


class EndedSession(SQLModel, table=True):
    """Whose cookie was given back. A copy of it would be good as long as somebody uses it."""

    id: str = Field(primary_key=True)  # as in the cookie
    ended_at: datetime = Field(default_factory=now, index=True)


class Throttle:
    """Counts tries to log in and new accounts, in this process: several workers let that many times more through."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.limiter = MovingWindowRateLimiter(self.storage)

    def admits(self, email: str, address: str) -> bool:
        """Counts the try against the account before the password is looked at: parallel guesses count too.

        What an address may not try any more does not count for the others.
        """
        return (
            self.limiter.test(PER_ADDRESS, address)
            and self.limiter.hit(PER_ACCOUNT, "account", email, address)
            and self.limiter.hit(FROM_ANYWHERE, "anywhere", email)
        )

    def welcomes(self, address: str) -> bool:
        return self.limiter.hit(NEWCOMERS, "register", address)

    def failed(self, address: str) -> None:
        self.limiter.hit(PER_ADDRESS, address)

    def succeeded(self, email: str, address: str) -> None:
        self.limiter.clear(PER_ACCOUNT, "account", email, address)
        self.limiter.clear(FROM_ANYWHERE, "anywhere", email)


async def refuse_demo_accounts(db: Database, settings: Settings) -> None:
    """Their passwords are on the door. Raises Misconfigured in production."""
    if not settings.production:
        return
    async with db.read() as session:
        found = (await session.exec(select(User.email).where(col(User.email).in_(DEMO_EMAILS)))).first()
    if found:
        raise Misconfigured(f"데모 계정 {found}이(가) 있습니다. 운영 환경에서는 쓸 수 없습니다.")


def hash_password(password: str) -> str:
    return hasher.hash(password)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


async def hash_slowly(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(HASHING, hash_password, password)


async def find_user(till: Till, email: str, password: str) -> User | None:
    """Takes the same time whether the account exists or not."""
    async with till.db.read() as session:
        user = (await session.exec(select(User).where(col(User.email) == email))).one_or_none()
    known = user.password_hash if user else _nobody()
    matches = await asyncio.get_running_loop().run_in_executor(HASHING, _matches, known, password)
    return user if matches else None


@functools.cache
def _nobody() -> str:
    """A hash of today's cost that no password matches."""
    return hash_password(secrets.token_hex())


def log_in(request: Request, user: User) -> None:
    """A new session: nothing of the one before survives."""
    began = int(time.time())
    request.session.clear()
    request.session.update(id=secrets.token_hex(8), user=user.id, epoch=user.epoch, began=began, seen=began)


async def log_out(request: Request, *, everywhere: bool = False) -> None:
    """This session ends, or every one of this account. What has ended is kept until its cookie is too old anyway."""
    till: Till = request.state.till
    user: User | None = request.state.user
    if user and everywhere:
        async with till.db.write() as rows:
            (await rows.get_one(User, user.id)).epoch += 1
    elif user:
        with contextlib.suppress(IntegrityError):  # somebody else has just ended it
            async with till.db.write() as rows:
                await rows.exec(delete(EndedSession).where(col(EndedSession.ended_at) < now() - IDLE))
                rows.add(EndedSession(id=request.session["id"]))
    request.session.clear()


_OF_SESSION = select(User).where(
    col(User.id) == bindparam("id"), ~exists().where(col(EndedSession.id) == bindparam("session"))
)


async def user_of(request: Request) -> User | None:
    """The person behind the session cookie; None when it is missing, too old, or signed out elsewhere."""
    till: Till = request.state.till
    async with till.db.read() as rows:
        return await _user_of(request, rows)


async def _user_of(request: Request, rows: AsyncSession) -> User | None:
    session, seen = request.session, int(time.time())
    if "user" not in session:
        return None
    wanted = {"id": session["user"], "session": session["id"]}
    user = (await rows.exec(_OF_SESSION, params=wanted)).one_or_none()
    idle = timedelta(seconds=seen - session["seen"])
    lasts = timedelta(seconds=seen - session.get("began", 0))  # one from before sessions told it is old enough
    too_old = user and (idle > ADMIN_IDLE or lasts > ADMIN_LONGEST if user.is_admin else idle > IDLE)
    if user is None or session["epoch"] != user.epoch or too_old:
        session.clear()
        return None
    if idle.total_seconds() > TOUCH:
        session["seen"] = seen
    return user


_OF_TOKENS = select(ApiToken.digest, User).join_from(ApiToken, User).where(among(ApiToken.digest, "digests"))


def _of_tokens(session: Session, digests: Sequence[str]) -> Sequence[User | None]:
    found = {row[0]: row[1] for row in session.execute(_OF_TOKENS, {"digests": list(digests)})}
    return [found.get(digest) for digest in digests]


def bears_token(request: Request) -> bool:
    return request.headers.get("authorization", "").lower().startswith("bearer ")


async def user_of_token(request: Request) -> User | None:
    """The account that the bearer token was made for."""
    till: Till = request.state.till
    token = request.headers["authorization"].partition(" ")[2]
    user: User | None = await till.db.read_together(_of_tokens, digest(token))
    return user


def digest(token: str) -> str:
    """Tokens are random and long: one SHA-256 is enough, and can be looked up."""
    return hashlib.sha256(token.encode()).hexdigest()


def anyone(endpoint: Endpoint) -> Endpoint:
    """Everyone may enter; `request.state.user` says who it is."""

    @functools.wraps(endpoint)
    async def enter(request: Request) -> Response:
        request.state.user = await user_of(request)
        return await endpoint(request)

    return enter


def login_required(endpoint: Endpoint) -> Endpoint:
    """People with an account; others are shown the door, which leads back here."""

    @functools.wraps(endpoint)
    async def enter(request: Request) -> Response:
        request.state.user = await user_of(request)
        return await endpoint(request) if request.state.user else to_login(request)

    return enter


def admin_required(endpoint: Endpoint) -> Endpoint:
    """Admins; other people get 403."""

    @functools.wraps(endpoint)
    async def enter(request: Request) -> Response:
        request.state.user = await user_of(request)
        return _turned_away(request) or await endpoint(request)

    return enter


def admin_reads(endpoint: Callable[[Request, AsyncSession], Awaitable[Response]]) -> Endpoint:
    """The same where an admin only looks: who it is and what it sees are read in one session of the database."""

    @functools.wraps(endpoint)
    async def enter(request: Request) -> Response:
        till: Till = request.state.till
        async with till.db.read() as rows:
            request.state.user = await _user_of(request, rows)
            return _turned_away(request) or await endpoint(request, rows)

    return enter


def _turned_away(request: Request) -> Response | None:
    if request.state.user is None:
        return to_login(request)
    if not request.state.user.is_admin:
        raise HTTPException(403)
    return None


def permission_required(permission: Permission) -> Callable[[Endpoint], Endpoint]:
    """Admins whose role allows it; other admins get 403 and whom to ask."""

    def guard(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def enter(request: Request) -> Response:
            if not request.state.user.may(permission):
                raise HTTPException(403, NOT_ALLOWED)
            return await endpoint(request)

        return admin_required(enter)

    return guard


def to_login(request: Request) -> Response:
    """A page goes to the login form; a fragment cannot follow, so htmx is told to leave the page."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if wants_fragment(request):
        here = _path_of(request.headers.get("hx-current-url", "/"))
    elif request.method != "GET":
        here = _path_of(request.headers.get("referer", "/"))
    login = f"{request.url_for('login').path}?next={quote(here)}"
    if wants_fragment(request):
        return Response(status_code=401, headers={"HX-Redirect": login})
    return RedirectResponse(login, 303)


def _path_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return safe_next(parts.path + (f"?{parts.query}" if parts.query else ""))


def safe_next(target: str | None) -> str:
    """Where to go after logging in: a path inside this site, else the shop. `//host` and `/\\host` leave the site."""
    if not target or not target.startswith("/") or target[1:2] in ("/", "\\") or not target.isprintable():
        return "/"
    return target
