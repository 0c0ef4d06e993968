"""What browsers load: vendored files are what they were, and pages are light."""

import gzip
import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import now
from app.models import Payment, Status
from app.render import STATIC
from tests import story
from tests.conftest import House, Visitor
from tests.fragments import assert_page, soup

VENDOR = STATIC / "vendor"
LIMIT = 60 * 1024  # bytes of HTML, CSS and JavaScript together, as they travel
# Whose licence covers which file.
LICENSES = {"htmx.LICENSE": ("htmx-", "hx-"), "modern-normalize.LICENSE": ("modern-normalize-",)}


def sums() -> dict[str, str]:
    """File name -> checksum, as written down when the file was fetched."""
    lines = (VENDOR / "SHA384SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


@pytest.mark.parametrize("name", sorted(sums()))
def test_a_vendored_file_is_the_one_that_was_fetched(name: str) -> None:
    assert hashlib.sha384((VENDOR / name).read_bytes()).hexdigest() == sums()[name]


def test_every_vendored_file_is_written_down() -> None:
    there = {path.name for path in VENDOR.iterdir()} - {"SHA384SUMS"}
    assert there
    assert there == set(sums())


@pytest.mark.parametrize("license_", sorted(LICENSES))
def test_a_licence_lies_beside_what_it_allows(license_: str) -> None:
    text = (VENDOR / license_).read_text()
    assert re.search(r"[Pp]ermission .*(use|is hereby granted)", text)
    assert [name for name in sums() if name.startswith(LICENSES[license_])]


def test_every_vendored_file_is_licensed_and_says_its_version() -> None:
    for name in sums():
        if not name.endswith(".LICENSE"):
            assert sum(name.startswith(prefixes) for prefixes in LICENSES.values()) == 1, name
            assert re.search(r"-\d+\.\d+\.\d+\.", name), name


@pytest.mark.parametrize(
    "path",
    sorted(path for path in STATIC.rglob("*") if path.suffix in (".css", ".js")),
    ids=lambda path: str(path.name),
)
def test_nothing_is_loaded_from_another_host(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//|sourceMappingURL", text)


# ── weight ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def weight(visitor: Visitor, path: str) -> dict[str, int]:
    """Bytes of a page and of everything it links to, gzipped, by address."""
    page = visitor.get(path)
    assert_page(page)
    found = soup(page.text).select("link[rel=stylesheet][href], script[src]")
    addresses = [str(tag.get("href") or tag.get("src")) for tag in found]
    assert {address.split("?")[0] for address in addresses} >= {"/static/app.css", "/static/app.js"}
    answers = {address: visitor.get(address) for address in addresses}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {address: len(gzip.compress(answer.content)) for address, answer in ({path: page} | answers).items()}


one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@one_database
@pytest.mark.parametrize("path", ["/", f"/prompts/{story.PROMPT}", f"/payments/new?prompt_id={story.PROMPT}"])
def test_the_way_to_a_purchase_is_light(buyer: Visitor, path: str) -> None:
    loaded = weight(buyer, path)
    assert sum(loaded.values()) <= LIMIT, loaded


async def fifty_payments(session: AsyncSession) -> None:
    """As different from each other as real ones."""
    for number in range(50):
        session.add(
            Payment(
                user_id=1,
                prompt_id=story.PROMPT,
                gateway="toss",
                payment_method="card",
                amount=10_000 + 37 * number,
                list_price=20_000,
                paid_amount=10_000 + 37 * number,
                status=Status.COMPLETED if number % 3 else Status.FAILED,
                buyer_name=f"김찐{number}",
                buyer_email=f"buyer{number}@example.com",
                buyer_phone="01012345678",
                item_name=f"블로그 초안 쓰기 {number}",
                consent_digest="",
                consented_at=now(),
                created_at=now() - timedelta(minutes=17 * number),
            )
        )


@one_database
def test_the_operator_s_table_is_light_with_a_full_page_of_payments(house: House, admin: Visitor) -> None:
    house.change(fifty_payments)
    assert len(soup(admin.get("/admin/payments").text).select("#payment-rows tr[id^=payment-]")) == 50
    loaded = weight(admin, "/admin/payments")
    assert sum(loaded.values()) <= LIMIT, loaded


@one_database
@pytest.mark.parametrize("path", ["/", "/static/app.css", "/static/vendor/htmx-4.0.1.min.js"])
def test_what_travels_is_compressed(stranger: Visitor, path: str) -> None:
    assert stranger.get(path, headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
