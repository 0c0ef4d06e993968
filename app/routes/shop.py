"""The shelf: search, categories, one prompt."""

from sqlalchemy import or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app import orders
from app.auth import anyone
from app.forms import cleaned
from app.models import Prompt, Purchase
from app.render import render
from app.till import Till, owned


@anyone
async def index(request: Request) -> Response:
    till: Till = request.state.till
    q, category = cleaned(request.query_params.get("q")), cleaned(request.query_params.get("category"))
    query = select(Prompt).order_by(col(Prompt.id))
    if category:
        query = query.where(col(Prompt.category) == category)
    for word in q.split()[:5]:
        columns = (col(Prompt.title), col(Prompt.summary), col(Prompt.category))
        query = query.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    async with till.db.read() as session:
        prompts = (await session.exec(query)).all()
        categories = (await session.exec(select(Prompt.category).group_by(Prompt.category).order_by("category"))).all()
        mine = await _owned_ids(session, request)
    return render(
        request,
        "shop/index.html",
        "shop/_prompts.html",
        prompts=prompts,
        categories=categories,
        mine=mine,
        q=q,
        category=category,
    )


async def _owned_ids(session: AsyncSession, request: Request) -> set[int]:
    if request.state.user is None:
        return set()
    query = select(Purchase.prompt_id).where(col(Purchase.user_id) == request.state.user.id)
    return set((await session.exec(query.where(col(Purchase.revoked_at).is_(None)))).all())


@anyone
async def show(request: Request) -> Response:
    till: Till = request.state.till
    user = request.state.user
    async with till.db.read() as session:
        prompt = await session.get(Prompt, int(request.path_params["id"]))
        if prompt is None or prompt.id is None:
            raise HTTPException(404)
        purchase = await owned(session, user.id, prompt.id) if user else None
        earlier = await orders.in_flight(session, user.id, prompt.id) if user else None
    return render(request, "shop/show.html", prompt=prompt, purchase=purchase, earlier=earlier)
