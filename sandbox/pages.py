"""The sandbox's own pages, in Korean."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

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
