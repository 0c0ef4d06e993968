"""A gateway with keys and the app's own HTTP client, and no network: respx answers for the PG."""

from collections.abc import Iterator

import httpx
import pytest
import respx

from app.config import Settings, read_settings
from app.gateways.toss import Toss
from app.main import http_client

API = "https://pg.example/toss"
SECRET = "test_sk_only_the_server_knows"


def toss_settings(**changed: str) -> Settings:
    return read_settings(
        {
            "SECRET_KEY": "signs the cookies of this test only 0123",
            "TOSS_CLIENT_KEY": "test_ck_everyone_may_know",
            "TOSS_SECRET_KEY": SECRET,
            "TOSS_API_URL": API,
            "PG_TIMEOUT": "5",
            **changed,
        }
    )


@pytest.fixture(scope="session")
def client() -> httpx.AsyncClient:
    """The app's own. It never connects here, so that it belongs to no event loop and need not be closed."""
    return http_client(toss_settings())


@pytest.fixture
def toss(client: httpx.AsyncClient) -> Toss:
    return Toss(toss_settings(), client)


@pytest.fixture
def pg() -> Iterator[respx.MockRouter]:
    """Toss's server. What a test has not told it to answer, it refuses.

    `using="httpx"`: respx takes the place of our own transport (app/lines.py); by itself it takes that of httpx's.
    """
    with respx.mock(using="httpx", base_url=API, assert_all_called=False) as router:
        yield router
