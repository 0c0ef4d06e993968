"""Filters with a name, shared by everybody who works here: saved, listed as chips above the table, thrown away."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app.auth import admin_required
from app.clock import now
from app.desk import SavedView
from app.filters import Filter
from app.forms import ViewForm, typed
from app.models import User
from app.render import redirect, render
from app.roles import Role
from app.till import Refused, Till

MOST = 50


async def all_views(session: AsyncSession) -> Sequence[SavedView]:
    return (await session.exec(select(SavedView).order_by(col(SavedView.name)).limit(MOST))).all()


@admin_required
async def index(request: Request) -> Response:
    return await _page(request)


@admin_required
async def save(request: Request) -> Response:
    """The filter on the screen under a name. A name of one's own is given to the new filter."""
    values = await typed(request)
    form, errors = ViewForm.read(values)
    wanted, wrong = Filter.read_query(values.get("query", "")[:1000])
    query = wanted.query_string() if wanted else ""
    wrong = errors or wrong or ({} if query else {"query": "저장할 조건이 없습니다. 먼저 목록을 거르고 저장해 주세요."})
    if form is None or wrong:
        return await _page(request, wanted, values, {"view": next(iter(wrong.values()))})
    user, till = request.state.user, request.state.till
    try:
        errors, said = await _keep(till, user, form.view, query)
    except IntegrityError:  # somebody was faster with this very name
        errors, said = await _keep(till, user, form.view, query)
    return await _page(request, wanted, values if errors else {}, errors, said=said, status=409)


async def _keep(till: Till, user: User, name: str, query: str) -> tuple[dict[str, str], str]:
    """What is wrong with the name; or what was done."""
    async with till.db.write() as session:
        known = (await session.exec(select(SavedView).where(col(SavedView.name) == name))).one_or_none()
        if known and not _may_change(user, known):
            return {"view": f"‘{name}’은(는) {known.by}님이 저장한 보기입니다. 다른 이름을 지어 주세요."}, ""
        if known is None and len(await all_views(session)) >= MOST:
            return {"view": f"보기는 {MOST}개까지 저장할 수 있습니다. 쓰지 않는 보기를 지워 주세요."}, ""
        view = known or SavedView(name=name, query=query, by=user.email)
        view.query, view.at = query, now()
        session.add(view)
    return {}, f"‘{name}’ 보기를 {'새 조건으로 바꾸었습니다' if known else '저장했습니다'}."


@admin_required
async def delete(request: Request) -> Response:
    till: Till = request.state.till
    async with till.db.write() as session:
        view = await session.get(SavedView, int(request.path_params["id"]))
        if view is None:
            raise Refused("NOT_FOUND", "그런 보기가 없습니다. 이미 지워졌을 수 있습니다.", 404)
        if not _may_change(request.state.user, view):
            raise Refused("NOT_YOURS", "저장한 사람이나 소유자만 지울 수 있습니다.", 403)
        await session.delete(view)
    return redirect(request, request.url_for("views").path)


def _may_change(user: User, view: SavedView) -> bool:
    return view.by == user.email or user.role == Role.OWNER


async def _page(
    request: Request,
    wanted: Filter | None = None,
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    *,
    said: str = "",
    status: int = 422,
) -> Response:
    till: Till = request.state.till
    async with till.db.read() as session:
        views = await all_views(session)
    user = request.state.user
    return render(
        request,
        "admin/views/index.html",
        "admin/views/_views.html",
        status=status if errors else 200,
        views=views,
        filters={view.id: Filter.read_query(view.query)[0] for view in views},
        own={view.id for view in views if _may_change(user, view)},
        wanted=wanted or Filter(),
        typed=values or {},
        errors=errors or {},
        said=said,
    )
