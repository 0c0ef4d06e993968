"""Taking money: prepare and complete, 64 at once, against a PG that answers after 0 or 50 ms."""

import asyncio
import json
import secrets
from collections.abc import Sequence

from sqlmodel import select

from app.auth import digest
from app.clock import now
from app.db import Database
from app.models import ApiToken, Prompt, User
from benchmarks.servers import Server
from benchmarks.timing import Post, Timings, post_all

AT_ONCE = 64
BUYERS = 100  # each buys every one of the 24 prompts at most once


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


def take(server: Server, offers: Sequence[tuple[str, int]]) -> tuple[Timings, Timings]:
    """Prepare and complete each of these once."""
    body = [json.dumps({"prompt_id": prompt, "payment_method": "card"}).encode() for _, prompt in offers]
    posts = [Post("/api/payment/prepare", one, token) for one, (token, _) in zip(body, offers, strict=True)]
    prepared, answers = asyncio.run(post_all(server, posts, AT_ONCE))
    completions = []
    for answer, (token, _) in zip(answers, offers, strict=True):
        if answer:
            order_id = json.loads(answer)["order_id"]
            paid = json.dumps({"order_id": order_id, "pg_transaction_id": f"pay_{order_id}"}).encode()
            completions.append(Post("/api/payment/complete", paid, token))
    completed, _ = asyncio.run(post_all(server, completions, AT_ONCE))
    return prepared, completed
