"""An operator watches payments arrive, filters them, looks into one, and gives money back."""

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app import counts
from app.auth import admin_reads, admin_required
from app.filters import Filter
from app.forms import MAX_ID
from app.live import Live
from app.render import render, wants_fragment
from app.search import PAGE, Page, search
from app.streams import Stream
from app.till import Refused, Till

BAD_PLACE = "실시간 목록의 주소가 올바르지 않습니다. 새로고침해 주세요."
TYPED = [field.alias or name for name, field in Filter.model_fields.items() if name != "cursor"]


@admin_reads
async def index(request: Request, session: AsyncSession) -> Response:
    till: Till = request.state.till
    typed_query = dict(request.query_params)
    wanted, errors = Filter.read(typed_query)
    page, glance = Page([]), counts.Glance(0, {}, {}, [])
    try:
        if wanted and not (wanted.cursor and wants_fragment(request)):  # more rows come alone
            # Before the page is read: what comes in between is told by the stream.
            glance = await counts.glance(session, wanted)
        if wanted:
            page = await search(session, wanted, PAGE)
    except ValueError:
        errors = {"cursor": Filter.sentences["cursor"]}
    answer = render(
        request,
        "admin/payments/index.html",
        "admin/payments/_list.html" if errors or not typed_query.get("cursor") else "admin/payments/_rows.html",
        status=422 if errors else 200,
        wanted=wanted or Filter(),
        typed=dict.fromkeys(TYPED, "") | typed_query,
        errors=errors,
        page=page,
        after=glance.newest,
        methods={key: method.label for key, method in till.methods.items()},
        gateways={gateway.name: gateway.label for gateway in till.gateways.values()},
        counts=glance.tabs,
        attention=glance.attention,
        views=glance.views,
    )
    if wanted and not wanted.cursor and wants_fragment(request):
        # Without what is empty: an address that can be passed on.
        change = "HX-Push-Url" if _is_a_step(request, wanted) else "HX-Replace-Url"
        answer.headers[change] = f"{request.url.path}?{wanted.query_string()}".rstrip("?")
    return answer


def _is_a_step(request: Request, wanted: Filter) -> bool:
    """What is chosen is a step that Back undoes; what is typed on in the search box is none."""
    query = request.headers.get("hx-current-url", "").partition("#")[0].partition("?")[2]
    before, _ = Filter.read_query(query)
    return before is None or before.query_string(q="") != wanted.query_string(q="", cursor="")


@admin_reads
async def count(request: Request, session: AsyncSession) -> Response:
    """What the list asks for every few seconds: the numbers on its tabs."""
    wanted, errors = Filter.read(request.query_params)
    if wanted is None:
        raise Refused("INVALID", next(iter(errors.values())), 422)
    glance = await counts.glance(session, wanted)
    return render(request, "admin/payments/_counts.html", wanted=wanted, counts=glance.tabs, attention=glance.attention)


@admin_required
async def live(request: Request) -> Response:
    """The stream behind the list. `after` is the page's place in the log; a browser that returns says where it was.

    Without a place it begins now.
    """
    wanted, errors = Filter.read(request.query_params)
    last, after = request.headers.get("last-event-id", ""), request.query_params.get("after", "")
    place = last if _is_place(last) else after
    if wanted is None or not (place == "" or _is_place(place)):
        raise Refused("INVALID", next(iter(errors.values()), BAD_PLACE), 422)
    hub: Live = request.state.live
    return Stream(hub, wanted, int(place) if place else await hub.newest())


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID
