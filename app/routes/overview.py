"""How the shop is doing, at a glance."""

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app.auth import admin_reads
from app.counts import glance
from app.hearing import hearing
from app.overview import Overview, overview
from app.render import render

WIDTH, HEIGHT, GAP = 720, 160, 4  # of the chart, in its own units


@admin_reads
async def index(request: Request, session: AsyncSession) -> Response:
    found = await overview(session)
    attention = (await glance(session)).attention
    highest = max(max(totals.gross, totals.refunded) for totals in found.days.values())
    return render(
        request,
        "admin/overview/index.html",
        "admin/overview/_totals.html",
        found=found,
        bars=_bars(found, highest),
        highest=highest,
        attention=attention,
        hearing=[it for it in await hearing(session, request.state.till) if it.missed],
    )


def _bars(found: Overview, highest: int) -> list[dict[str, object]]:
    """A bar for every day, and what of it was given back; `highest` won fill the chart."""
    highest = max(1, highest)
    step = WIDTH / len(found.days)
    return [
        {
            "day": day,
            "totals": totals,
            "x": round(number * step + GAP / 2, 1),
            "width": round(step - GAP, 1),
            "height": round(HEIGHT * totals.gross / highest, 1),
            "back": round(HEIGHT * totals.refunded / highest, 1),
        }
        for number, (day, totals) in enumerate(found.days.items())
    ]
