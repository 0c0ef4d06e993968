"""Taking money and giving it back, 64 at once, against a PG that answers after 0 or 50 ms."""

import json
import secrets
from collections.abc import Sequence

import httpx
from sqlmodel import select

from app.auth import digest
from app.clock import now
from app.db import Database
from app.models import ApiToken, Prompt, User
from benchmarks import servers
from benchmarks.ground import Ground, run
from benchmarks.servers import Server
from benchmarks.timing import Post, Timings, post_all
from benchmarks.timing import run as run_loop

VERBS = ("prepare", "complete", "refund")
AT_ONCE = 64
DELAYS = (0.0, 0.05)  # seconds until the PG answers
PAYMENTS = 256  # at most, in one burst
FEW = 64  # for whoever serves one request at a time
THREADS = ("--worker-class", "gthread", "--threads", str(AT_ONCE))
BUYERS = 100  # each buys every one of the 24 prompts at most once


Takings = dict[tuple[str, float, str], Timings]
"""By what was asked for, the PG's delay, and who was asked."""


def measure(ground: Ground) -> Takings:
    """A burst of everyone in turn at each delay; Flask's own default serves one at a time and gets shorter ones."""
    found: Takings = {}
    with (
        ground.copy("ours") as url,
        ground.database("flask") as for_flask,
        ground.database("fastapi") as for_fastapi,
        servers.stub() as pg,
    ):
        run("benchmarks.peers.flask_json", BENCH_DATABASE=for_flask, BENCH_PG=pg.url)
        run("benchmarks.peers.fastapi_sqlmodel", BENCH_DATABASE=for_fastapi, BENCH_PG=pg.url)
        offers, operator = run_loop(open_shop(url)), run_loop(let_in(url))
        tokens = [(f"token-{number % 400}", 1) for number in range(PAYMENTS)]
        with (
            servers.ours(url, pg.url) as us,
            servers.flask(for_flask, pg.url) as plain,
            servers.flask(for_flask, pg.url, *THREADS) as threaded,
            servers.fastapi(for_fastapi, pg.url) as fastapi,
        ):
            for server, few in ((us, offers), (fastapi, tokens), (threaded, tokens), (plain, tokens)):
                if any(warmed.errors for warmed in take(server, few[:20], operator if server is us else "")):
                    raise RuntimeError(f"{server.name} does not take money: nothing to compare with")
            for turn, delay in enumerate(DELAYS):
                httpx.post(f"{pg.url}/delay", content=str(delay)).raise_for_status()
                for name, server, burst in (
                    ("ours", us, offers[20 + turn * PAYMENTS :][:PAYMENTS]),
                    ("FastAPI + SQLModel", fastapi, tokens),
                    ("Flask, threads", threaded, tokens),
                    ("Flask, gunicorn's defaults", plain, tokens[:FEW]),
                ):
                    measured = take(server, burst, operator if server is us else "")
                    for verb, timings in zip(VERBS, measured, strict=True):
                        found.setdefault((verb, delay, name), Timings()).add(timings)
    return found


async def open_shop(url: str) -> list[tuple[str, int]]:
    """Buyers with tokens. Answers who can buy what: a token, and a prompt."""
    db, tokens = Database(url), [secrets.token_urlsafe(24) for _ in range(BUYERS)]
    async with db.write() as session:
        prompts = (await session.exec(select(Prompt.id))).all()
        for number, token in enumerate(tokens):
            user = User(
                email=f"bench{secrets.token_hex(4)}{number}@example.com", password_hash="!", name="김찐", phone=""
            )
            user.phone, user.created_at = "01012345678", now()
            session.add(user)
            await session.flush()
            session.add(ApiToken(user_id=user.id or 0, digest=digest(token)))
    await db.close()
    return [(token, prompt or 0) for prompt in prompts for token in tokens]


async def let_in(url: str) -> str:
    """A token of the operator's: of ours, no buyer gives money back."""
    db, token = Database(url), secrets.token_urlsafe(24)
    async with db.write() as session:
        operator = (await session.exec(select(User.id).where(User.is_admin))).one()
        session.add(ApiToken(user_id=operator or 0, digest=digest(token)))
    await db.close()
    return token


def take(server: Server, offers: Sequence[tuple[str, int]], operator: str) -> tuple[Timings, Timings, Timings]:
    """Prepare, complete and refund each of these once. Without an operator the buyer asks for the refund."""
    body = [json.dumps({"prompt_id": prompt, "payment_method": "card"}).encode() for _, prompt in offers]
    posts = [Post("/api/payment/prepare", one, token) for one, (token, _) in zip(body, offers, strict=True)]
    prepared, answers = run_loop(post_all(server, posts, AT_ONCE))
    completions, returns = [], []
    for answer, (token, _) in zip(answers, offers, strict=True):
        if answer:
            order_id = json.loads(answer)["order_id"]
            paid = json.dumps({"order_id": order_id, "pg_transaction_id": f"pay_{order_id}"}).encode()
            completions.append(Post("/api/payment/complete", paid, token))
            reason = json.dumps({"reason": "단순변심"}).encode()
            returns.append(Post(f"/api/payment/{order_id}/refund", reason, operator or token, key=order_id))
    completed, paid_for = run_loop(post_all(server, completions, AT_ONCE))
    returns = [post for post, paid in zip(returns, paid_for, strict=True) if paid]  # a burst may not reach the last
    refunded, _ = run_loop(post_all(server, returns, AT_ONCE))
    return prepared, completed, refunded
