"""What a gateway is: one file that speaks to one PG. It gets a Payment, returns a Receipt, and sees no request."""

import asyncio
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

import httpx

from app.config import Settings
from app.models import Payment, Refund

Standing = Literal["open", "authenticated", "waiting", "paid", "canceled", "failed", "expired", "absent"]
Why = Literal["declined", "try_again", "configuration"]


@dataclass(frozen=True)
class Cancellation:
    """Money the PG has given back: whole won, and the PG's id of that movement."""

    transaction_id: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What the PG says of one order. `paid` is whole won taken in `currency`, whatever was given back later."""

    status: Standing
    order_id: str
    transaction_id: str | None = None
    paid: int = 0
    currency: str = "KRW"
    canceled: tuple[Cancellation, ...] = ()
    secret: str | None = None
    receipt_url: str | None = None
    code: str | None = None
    message: str | None = None

    @property
    def left(self) -> int:
        """Whole won that the PG still holds of what it took."""
        return self.paid - sum(given.amount for given in self.canceled)


@dataclass(frozen=True)
class Redirect:
    """The browser goes to the PG by itself."""

    url: str


@dataclass(frozen=True)
class Window:
    """The browser loads the PG's SDK and walks these steps: `[["TossPayments", key], ["payment", {...}], ...]`."""

    script: str
    steps: list[list[Any]]


@dataclass(frozen=True)
class Handed:
    """What the PG handed the browser on its way back. None of it is believed; it is compared with our row."""

    transaction_id: str | None = None
    order_id: str | None = None
    amount: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Heard:
    """Whom a webhook is about, and what proves that the PG knows that payment."""

    order_id: str
    secret: str | None = None
    transmission_id: str | None = None
    given_back: int | None = None
    """Whole won it says went back; None when it does not say, or tells of anything but settled money."""


@dataclass(frozen=True)
class Movement:
    """One line of the PG's own book: whole won in, or (negative) back."""

    order_id: str
    transaction_id: str
    amount: int
    at: datetime


class Declined(Exception):
    """A definite no: nothing was taken, or nothing given back."""

    def __init__(self, code: str, message: str, why: Why = "declined") -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.why = code, message, why


class InDoubt(Exception):
    """No usable answer: the money may or may not have moved."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Forged(Exception):
    """A webhook that its PG did not send."""


@dataclass(frozen=True)
class Method:
    """A way to pay as the buyer sees it."""

    label: str
    hint: str = ""


@dataclass(frozen=True)
class Gateway(ABC):
    """Subclassing registers. An instance exists only when its keys are configured."""

    settings: Settings
    client: httpx.AsyncClient = field(repr=False)

    name: ClassVar[str]
    label: ClassVar[str]
    methods: ClassVar[Mapping[str, Method]]
    canceled_codes: ClassVar[frozenset[str]] = frozenset()
    """The codes by which the PG's window says that the buyer closed it."""
    registry: ClassVar[list[type["Gateway"]]] = []

    def __init_subclass__(cls) -> None:
        Gateway.registry.append(cls)

    @classmethod
    @abstractmethod
    def configured(cls, settings: Settings) -> bool:
        """Are its keys there?"""

    @property
    @abstractmethod
    def origins(self) -> tuple[str, ...]:
        """Hosts that its window page needs in the CSP."""

    @abstractmethod
    async def start(self, payment: Payment, return_url: str) -> Redirect | Window:
        """What the browser does next."""

    @abstractmethod
    def handed(self, query: Mapping[str, str]) -> Handed:
        """Read the query the buyer comes back with."""

    @abstractmethod
    async def confirm(self, payment: Payment) -> Receipt:
        """Take the money of `payment.pg_transaction_id`, our amount. Raises Declined, InDoubt. Safe to repeat."""

    @abstractmethod
    async def cancel(self, payment: Payment, refund: Refund) -> Receipt:
        """Give `refund.amount` back. Raises Declined, InDoubt. Safe to repeat for one refund."""

    @abstractmethod
    async def find(self, payment: Payment) -> Receipt:
        """The PG's truth; status `absent` when it has never heard of the order. Raises InDoubt."""

    @abstractmethod
    def hear(self, headers: Mapping[str, str], body: bytes) -> Heard | None:
        """A webhook: whose is it? None when it is not about a payment. Raises Forged."""

    @abstractmethod
    def movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """All the money this PG moved for us in this time, for the sweep. Raises Declined, InDoubt."""

    @abstractmethod
    def sentence(self, code: str) -> str:
        """A failure in a buyer's words, with the next step."""


async def call(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> tuple[int, Any]:
    """One call to a PG: its status and its JSON. Raises InDoubt when there is no readable answer."""
    try:
        async with asyncio.timeout(client.timeout.read):  # of the whole call: httpx counts each read anew
            response = await client.request(method, url, **options)
        answer = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise InDoubt(type(error).__name__, "PG의 응답을 받지 못했습니다.") from error
    except (ValueError, RecursionError) as error:
        raise InDoubt("UNREADABLE", "PG의 응답을 읽을 수 없습니다.") from error
    return response.status_code, answer


def load(settings: Settings, client: httpx.AsyncClient) -> dict[str, Gateway]:
    """Every configured gateway by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {kind.name: kind(settings, client) for kind in Gateway.registry if kind.configured(settings)}
