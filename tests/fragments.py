"""Named assertions for pages and fragments. Each says what a person would see; README explains how to use them."""

from typing import Any, Protocol

from bs4 import BeautifulSoup, Tag

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
"""The headers by which htmx 4 asks for a part of a page."""


class Answered(Protocol):
    """What TestClient's and httpx's responses share."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    @property
    def text(self) -> str: ...


def soup(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


def words(node: Tag | BeautifulSoup) -> str:
    """The text as one reads it: blanks folded."""
    return " ".join(node.get_text(" ").split())


def one(html: str, selector: str) -> Tag:
    """The only element that fits."""
    found = soup(html).select(selector)
    assert len(found) == 1, f"{len(found)} elements fit {selector}: {html[:500]}"
    return found[0]


def assert_page(response: Answered, *texts: str, status: int = 200) -> BeautifulSoup:
    """A whole Korean page that says these texts."""
    page = _assert_html(response, status)
    assert page.html, f"a fragment, not a page: {response.text[:200]}"
    assert page.html.get("lang") == "ko"
    _assert_says(page, texts)
    return page


def assert_fragment(response: Answered, *texts: str, status: int = 200) -> BeautifulSoup:
    """A part of a page, and not the page."""
    fragment = _assert_html(response, status)
    assert not fragment.html, "a whole page where a fragment was asked for"
    assert "HX-Request-Type" in response.headers["vary"], "a cache would mix up page and fragment"
    _assert_says(fragment, texts)
    return fragment


def assert_row_redrawn(response: Answered, order_id: str, *texts: str, status: str, code: int = 200) -> Tag:
    """The answer (or a live message) morphs the row of this payment, which now stands at `status`."""
    fragment = _assert_html(response, code)
    partial = fragment.select_one(f'hx-partial[hx-target="#payment-{order_id}"][hx-swap="outerMorph"]')
    assert partial, f"no partial redraws {order_id}: {response.text[:500]}"
    row = one(str(partial), f"tr#payment-{order_id}")
    assert row["data-status"] == status
    _assert_says(row, texts)
    return row


def assert_form_again(response: Answered, field: str, sentence: str, *, status: int = 422, **kept: str) -> Tag:
    """The same form: a sentence beside `field` that a screen reader finds, and everything typed still there."""
    html = _assert_html(response, status)
    wrong = html.select_one(f'[name="{field}"][aria-invalid="true"]')
    assert wrong, f"{field} is not marked as wrong: {response.text[:800]}"
    beside = html.select_one(f"#{wrong['aria-describedby']}")
    assert beside, "the sentence is not tied to its field"
    assert sentence in words(beside)
    for name, value in kept.items():
        typed = html.select_one(f'[name="{name}"]')
        assert typed, f"the field {name} is gone"
        assert typed.get("value") == value, f"{name} lost what was typed"
    return wrong


def assert_refused_form(response: Answered, sentence: str, *, status: int) -> None:
    """A form as a whole was refused, with one sentence on top."""
    summary = _assert_html(response, status).select_one('[role="alert"]')
    assert summary, "nothing says what is wrong"
    assert sentence in words(summary)


def assert_notice(response: Answered, sentence: str, *, status: int) -> None:
    """htmx is told to show this in the notice region, and leaves the rest of the page alone."""
    assert response.status_code == status
    assert response.headers["hx-retarget"] == "#notice"
    _assert_says(assert_fragment(response, status=status), (sentence,))


def assert_leaves_for(response: Answered, url: str) -> None:
    """A page is redirected, and a fragment tells htmx to leave the page."""
    assert response.headers.get("hx-redirect") == url or (
        response.status_code == 303 and response.headers["location"] == url
    ), f"{response.status_code} {dict(response.headers)}"


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """problem+json with our code and a sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["detail"]
    return body


def _assert_html(response: Answered, status: int) -> BeautifulSoup:
    assert response.status_code == status, f"{response.status_code}: {response.text[:500]}"
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-store", "money is never cached"
    return soup(response.text)


def _assert_says(node: Tag | BeautifulSoup, texts: tuple[str, ...]) -> None:
    said = words(node)
    for text in texts:
        assert text in said, f"{text!r} is not said: {said[:500]}"
