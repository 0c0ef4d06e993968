"""The buyer's browser at a payment window: what it sends, who is behind it, where it goes next."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from starlette.requests import Request


async def sent(request: Request) -> dict[str, Any]:
    """A form's fields or a JSON body's. Raises ValueError when the body is neither."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return dict(await request.form())
    body = json.loads(await request.body() or b"{}")
    if not isinstance(body, dict):
        raise ValueError("expected a JSON object")
    return body


def is_program(request: Request) -> bool:
    """A test plays the buyer in JSON; a person presses a button."""
    return "application/json" in request.headers.get("accept", "") + request.headers.get("content-type", "")


def extended(url: str, query: dict[str, str], how: Callable[..., str] = quote_plus) -> str:
    """The merchant's URL with its own query and fragment kept."""
    parts = urlsplit(url)
    joined = "&".join(part for part in (parts.query, urlencode(query, quote_via=how)) if part)
    return parts._replace(query=joined).geturl()
