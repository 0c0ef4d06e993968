"""python -m app serve | migrate | demo | create-admin | create-token | revoke-tokens | reconcile | audit"""

import argparse
import asyncio
import getpass
import os
import secrets
import sys
from datetime import date, datetime, time, timedelta

import uvicorn
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import audit, auth, demo, reconciler
from app.clock import KST, now
from app.config import Misconfigured, Settings, read_settings
from app.forms import RegisterForm
from app.gateways import Declined, InDoubt
from app.main import open_till
from app.migrate import migrate
from app.models import ApiToken, User
from app.roles import Role
from app.sweep import sweep


def serve(settings: Settings, words: argparse.Namespace) -> None:
    if not str(settings.secret_key) and not settings.production:
        # For trying out: sessions end with the process. Workers inherit it.
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)
        settings = read_settings()
    settings.check()
    asyncio.run(_refuse_demo_accounts(settings))
    uvicorn.run(
        "app.main:worker",
        factory=True,
        host=words.host,
        port=words.port,
        workers=words.workers,
        access_log=False,
        proxy_headers=True,
        server_header=False,
        timeout_graceful_shutdown=max(5, int(settings.pg_timeout) + 2),
    )


async def _refuse_demo_accounts(settings: Settings) -> None:
    async with open_till(settings) as till:
        await auth.refuse_demo_accounts(till.db, settings)


def migrate_database(settings: Settings, _words: argparse.Namespace) -> None:
    migrate(settings.database_url)


def fill_demo(settings: Settings, words: argparse.Namespace) -> None:
    async def run() -> None:
        async with open_till(settings) as till:
            await demo.fill(till.db, payments=words.payments, seed=words.seed)

    if settings.production:
        raise Misconfigured("운영 환경에는 데모 데이터를 넣지 않습니다.")
    asyncio.run(run())


def create_admin(settings: Settings, words: argparse.Namespace) -> None:
    """A new admin, or an existing account made one, whose sessions and tokens end.

    `ADMIN_PASSWORD` or a question gives the password.
    """
    password = os.environ.get("ADMIN_PASSWORD")
    if not password and not sys.stdin.isatty():
        raise Misconfigured("ADMIN_PASSWORD에 비밀번호를 넣거나, 터미널에서 실행해 주세요.")
    password = password or getpass.getpass("비밀번호: ")
    form, errors = RegisterForm.read({"email": words.email, "password": password, "name": "관리자"})
    if form is None:
        raise Misconfigured(" ".join(errors.values()))

    async def run() -> None:
        async with open_till(settings) as till, till.db.write() as session:
            user = (await session.exec(select(User).where(col(User.email) == form.email))).one_or_none()
            user = user or User(email=form.email, password_hash="", name=form.name, phone="", created_at=now())
            user.password_hash, user.is_admin, user.epoch = auth.hash_password(password), True, user.epoch + 1
            user.role = words.role
            session.add(user)
            await _revoke(session, user.id)

    asyncio.run(run())
    print(f"관리자 {form.email} 계정을 만들었습니다.")


def create_token(settings: Settings, words: argparse.Namespace) -> None:
    """Printed once; only its digest is kept."""
    token = secrets.token_urlsafe(32)

    async def run() -> None:
        async with open_till(settings) as till, till.db.write() as session:
            session.add(ApiToken(user_id=await _id_of(session, words.email), digest=auth.digest(token)))

    asyncio.run(run())
    print(token)


def revoke_tokens(settings: Settings, words: argparse.Namespace) -> None:
    """All that were made for this account; its sessions go on."""

    async def run() -> int:
        async with open_till(settings) as till, till.db.write() as session:
            return await _revoke(session, await _id_of(session, words.email))

    print(f"{words.email} 계정의 토큰 {asyncio.run(run())}개를 없앴습니다.")


async def _id_of(session: AsyncSession, email: str) -> int:
    user_id = (await session.exec(select(User.id).where(col(User.email) == email.lower()))).one_or_none()
    if user_id is None:
        raise Misconfigured(f"{email} 계정이 없습니다.")
    return user_id


async def _revoke(session: AsyncSession, user_id: int | None) -> int:
    return (await session.exec(delete(ApiToken).where(col(ApiToken.user_id) == user_id))).rowcount


def reconcile(settings: Settings, words: argparse.Namespace) -> None:
    """One pass over what is unsettled; with days, the PG's book against ours. Exit code 1 when they differ."""
    first, last = words.from_, words.to
    if (first is None) != (last is None) or (first and last < first):
        raise Misconfigured("--from과 --to를 함께, 앞선 날부터 적어 주세요.")
    if asyncio.run(_sweep(settings, first, last) if first else _reconcile(settings)):
        sys.exit(1)


async def _reconcile(settings: Settings) -> int:
    async with open_till(settings) as till:
        settled = await reconciler.reconcile(till)
    for payment in settled:
        print(f"{payment.order_id}  {payment.status}  ₩{payment.amount:,}")
    print(f"{len(settled)}건을 정리했습니다.")
    return 0


async def _sweep(settings: Settings, first: date, last: date) -> int:
    since = datetime.combine(first, time(), KST)
    until = datetime.combine(last, time(), KST) + timedelta(days=1) - timedelta(seconds=1)
    async with open_till(settings) as till:
        try:
            found = await sweep(till, since, until)
        except (Declined, InDoubt) as error:
            raise Misconfigured(f"PG가 거래 내역을 보여 주지 않습니다: {error}") from error
    for row in found.differences:
        theirs, ours = row.theirs, row.ours
        print(
            f"{row.bucket:9}  {row.order_id}  {row.status or '-'}  "
            f"PG ₩{theirs.paid:,} − ₩{theirs.back:,}  우리 ₩{ours.paid:,} − ₩{ours.back:,}"
        )
    print(f"{found.orders}건을 맞춰 보았고 {len(found.differences)}건이 다릅니다.")
    return len(found.differences)


def audit_books(settings: Settings, _words: argparse.Namespace) -> None:
    """Exit code 1, and the rows, when any rule is broken."""

    async def run() -> list[audit.Finding]:
        async with open_till(settings) as till, till.db.read() as session:
            return await audit.audit(session)

    findings = asyncio.run(run())
    for finding in findings:
        print(f"어긋남: {finding.rule}", *finding.order_ids, sep="\n  ")
    if findings:
        sys.exit(1)
    print("장부가 모두 맞습니다.")


def words_of(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("serve", help="the app alone, for production")
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=int, default=8000)
    verb.add_argument("--workers", type=int, default=1)
    verb.set_defaults(act=serve)

    verbs.add_parser("migrate", help="bring the database to the newest migration").set_defaults(act=migrate_database)

    verb = verbs.add_parser("create-admin", help="an admin; asks for a password or reads ADMIN_PASSWORD")
    verb.add_argument("email")
    verb.add_argument("--role", type=Role, choices=list(Role), default=Role.OWNER)
    verb.set_defaults(act=create_admin)

    verb = verbs.add_parser("create-token", help="an API token for an account, printed once")
    verb.add_argument("email")
    verb.set_defaults(act=create_token)

    verb = verbs.add_parser("revoke-tokens", help="end all API tokens of an account")
    verb.add_argument("email")
    verb.set_defaults(act=revoke_tokens)

    verb = verbs.add_parser("demo", help="24 prompts and two accounts in an empty shop, and N payments")
    verb.add_argument("--payments", type=int, default=0, metavar="N")
    verb.add_argument("--seed", type=int, default=1, metavar="S")
    verb.set_defaults(act=fill_demo)

    verb = verbs.add_parser("reconcile", help="one pass over what is unsettled; with days, the PG's book against ours")
    verb.add_argument("--from", dest="from_", type=date.fromisoformat, metavar="YYYY-MM-DD", help="a day in KST")
    verb.add_argument("--to", type=date.fromisoformat, metavar="YYYY-MM-DD", help="the last day, included")
    verb.set_defaults(act=reconcile)

    verbs.add_parser("audit", help="prove the books; exit code 1 when a rule is broken").set_defaults(act=audit_books)
    return parser.parse_args(argv)


def main() -> None:
    words = words_of(sys.argv[1:])
    try:
        words.act(read_settings(), words)
    except Misconfigured as error:
        sys.exit(f"{error}")
    except (SQLAlchemyError, OSError) as error:  # their words may hold the address, and that a password
        sys.exit(
            f"데이터베이스를 쓸 수 없습니다 ({type(error).__name__}). DATABASE_URL을 확인해 주세요. "
            "처음이라면 python -m app migrate를 먼저 실행하세요."
        )


if __name__ == "__main__":
    main()
