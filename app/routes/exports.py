"""An operator takes payments out of the house: told first how many, then as a file that Excel opens."""

from sqlmodel import col, select
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import counts, exports
from app.auth import permission_required
from app.clock import KST, now
from app.exports import Export
from app.filters import Filter
from app.render import render
from app.roles import Permission
from app.till import Refused, Till

TYPES: dict[exports.Kind, str] = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
SHOWN = 10  # earlier files


@permission_required(Permission.EXPORT)
async def new(request: Request) -> Response:
    """How many payments, of which days, and who took some before."""
    wanted, errors = Filter.read({**request.query_params, "cursor": ""})
    if wanted is None:
        raise Refused("INVALID", next(iter(errors.values())), 422)
    till: Till = request.state.till
    async with till.db.read() as session:
        count = await counts.all_of(session, wanted)
        earlier = (await session.exec(select(Export).order_by(col(Export.id).desc()).limit(SHOWN))).all()
    first, last = wanted.days
    return render(
        request,
        "admin/exports/new.html",
        wanted=wanted,
        count=count,
        first=first,
        last=last,
        columns=exports.COLUMNS,
        earlier=earlier,
        filters={entry.id: Filter.read_query(entry.query)[0] for entry in earlier},
    )


@permission_required(Permission.EXPORT)
async def as_csv(request: Request) -> Response:
    return _file(request, "csv")


@permission_required(Permission.EXPORT)
async def as_xlsx(request: Request) -> Response:
    return _file(request, "xlsx")


def _file(request: Request, kind: exports.Kind) -> Response:
    wanted, errors = Filter.read({**request.query_params, "cursor": ""})
    if wanted is None:
        raise Refused("INVALID", next(iter(errors.values())), 422)
    till: Till = request.state.till
    name = f"payments-{now().astimezone(KST):%Y-%m-%d}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    pieces = exports.export(till.db, wanted, kind, request.state.user.email)
    return StreamingResponse(pieces, media_type=TYPES[kind], headers=headers)
