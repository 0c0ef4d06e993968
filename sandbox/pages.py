"""The sandbox's own pages, in Korean, and the pretend SDKs."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from sandbox.clock import kst

pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
pages.filters["won"] = lambda amount: f"₩{amount:,}"
pages.filters["kst"] = lambda moment: kst(moment)[:19].replace("T", " ")


def page(template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    html = pages.get_template(template).render(**facts)
    return HTMLResponse(html, status, headers={"cache-control": "no-store"})


def script(*parts: Path) -> Response:
    """A PG's SDK: what all of them share, and its own parts, in one scope of their own."""
    shared = Path(__file__).parent / "sdk" / "frame.js"
    body = "\n".join(part.read_text() for part in (shared, *parts))
    return Response(f'(() => {{\n"use strict";\n{body}}})();\n', media_type="text/javascript")
