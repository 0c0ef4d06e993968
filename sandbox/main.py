"""create_app(): routes, the background, the state file."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import control, kakaopay, portone, portone_v1, toss
from sandbox.world import World

STATIC = Path(__file__).parent / "static"


class Keep:
    """Writes the state down before a change is answered, and after one whose answer was lost."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self.app, self.world = app, world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            return await self.app(scope, receive, send)

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.world.save()
            await send(message)

        try:
            await self.app(scope, receive, kept)
        finally:
            self.world.save()


def create_app(state: Path | str | None = None) -> Starlette:
    """`state` names the file that keeps everything; without one (and without SANDBOX_STATE) memory does."""
    path = state or os.environ.get("SANDBOX_STATE")
    world = World(Path(path) if path else None)
    its_toss, its_kakaopay = toss.Toss(world), kakaopay.KakaoPay(world)
    portone.PortOne(world)
    portone_v1.PortOneV1(world)
    world.load()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        background = asyncio.create_task(world.run())
        yield
        world.save()
        tasks = [background, *world.outbox.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = Starlette(
        routes=[
            *control.routes,
            toss.routes,
            kakaopay.routes,
            portone.routes,
            portone_v1.routes,
            Mount("/_static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Keep, world=world)] if world.path else [],
        lifespan=lifespan,
    )
    app.state.world, app.state.toss, app.state.kakaopay = world, its_toss, its_kakaopay
    return app
