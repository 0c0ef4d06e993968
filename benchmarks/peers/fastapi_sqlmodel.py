"""FastAPI and SQLModel, asynchronous, as their tutorials write it: one session a request."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

PG = os.environ["BENCH_PG"]
ADDRESS = os.environ["BENCH_DATABASE"]
WAITS = {"connect_args": {"timeout": 30}} if ADDRESS.startswith("sqlite") else {}
engine = create_async_engine(
    ADDRESS.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:"),
    pool_size=20,
    max_overflow=44,
    **WAITS,
)
new_session = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


def now() -> datetime:
    return datetime.now(UTC)


class Account(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    token: str = Field(unique=True)


class Payment(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    order_id: str = Field(unique=True)
    account_id: int = Field(foreign_key="account.id")
    prompt_id: int
    amount: int
    refunded_amount: int = 0
    payment_method: str
    status: str = "pending"
    pg_transaction_id: str | None = None
    buyer_name: str
    buyer_email: str
    item_name: str
    created_at: datetime = Field(default_factory=now)
    completed_at: datetime | None = None


class Prepare(SQLModel):
    prompt_id: int
    payment_method: str


class Prepared(SQLModel):
    order_id: str
    amount: int


class Complete(SQLModel):
    order_id: str
    pg_transaction_id: str


class Refund(SQLModel):
    reason: str


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, object]]:
    async with httpx.AsyncClient(base_url=PG, auth=("test_sk_bench", ""), timeout=20) as client:
        app.state.pg = client
        yield {}


async def session_of_request() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session_of_request)]


async def account_of_request(session: Session, authorization: Annotated[str, Header()] = "") -> Account:
    token = authorization.removeprefix("Bearer ")
    account = (await session.exec(select(Account).where(Account.token == token))).first()
    if account is None:
        raise HTTPException(401)
    return account


Buyer = Annotated[Account, Depends(account_of_request)]
app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/api/payment/prepare", status_code=201)
async def prepare(body: Prepare, buyer: Buyer, session: Session) -> Prepared:
    payment = Payment(
        order_id=secrets.token_hex(12),
        account_id=buyer.id,
        prompt_id=body.prompt_id,
        amount=9_900,
        payment_method=body.payment_method,
        buyer_name="김찐",
        buyer_email="buyer@example.com",
        item_name="블로그 초안 쓰기",
    )
    session.add(payment)
    await session.commit()
    return Prepared(order_id=payment.order_id, amount=payment.amount)


@app.post("/api/payment/complete")
async def complete(body: Complete, buyer: Buyer, session: Session, response: Response) -> Payment:
    payment = (await session.exec(select(Payment).where(Payment.order_id == body.order_id))).first()
    if payment is None:
        raise HTTPException(404)
    asked = {"paymentKey": body.pg_transaction_id, "orderId": payment.order_id, "amount": payment.amount}
    answer = await app.state.pg.post("/v1/payments/confirm", json=asked)
    if answer.status_code == 200:
        payment.status, payment.pg_transaction_id = "completed", body.pg_transaction_id
        payment.completed_at = now()
    else:
        payment.status, response.status_code = "failed", 402
    session.add(payment)
    await session.commit()
    return payment


@app.post("/api/payment/{order_id}/refund")
async def refund(order_id: str, body: Refund, _buyer: Buyer, session: Session) -> Payment:
    payment = (await session.exec(select(Payment).where(Payment.order_id == order_id))).first()
    if payment is None:
        raise HTTPException(404)
    asked = {"cancelReason": body.reason, "cancelAmount": payment.amount}
    answer = await app.state.pg.post(f"/v1/payments/{payment.pg_transaction_id}/cancel", json=asked)
    if answer.status_code != 200:
        raise HTTPException(402)
    payment.status, payment.refunded_amount = "refunded", payment.amount
    session.add(payment)
    await session.commit()
    return payment


@app.get("/api/payments")
async def index(_buyer: Buyer, session: Session, offset: int = 0, limit: Annotated[int, Query(le=100)] = 50):
    newest = select(Payment).order_by(col(Payment.created_at).desc()).offset(offset).limit(limit)
    return (await session.exec(newest)).all()


async def set_up() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    async with new_session() as session:
        session.add_all(Account(token=f"token-{number}") for number in range(400))
        await session.commit()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(set_up())
