"""create_app(): the pretend PGs that lie in this folder, the background, the state file."""

import asyncio
import contextlib
import importlib
import os
import pkgutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import control
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


def pretend_pgs() -> Iterator[ModuleType]:
    """Every package beside this file: its `Books` remember what happened there, its `routes` are where it is asked."""
    for found in pkgutil.iter_modules(sys.modules["sandbox"].__path__):  # which imports us: not by its name
        if found.ispkg:
            yield importlib.import_module(f"sandbox.{found.name}")


def create_app(state: Path | str | None = None) -> Starlette:
    """`state` names the file that keeps everything; without one (and without SANDBOX_STATE) memory does."""
    path = state or os.environ.get("SANDBOX_STATE")
    world = World(Path(path) if path else None)
    pretend = list(pretend_pgs())
    for pg in pretend:
        pg.Books(world)
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
            *(pg.routes for pg in pretend),
            Mount("/_static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Keep, world=world)] if world.path else [],
        lifespan=lifespan,
    )
    app.state.world = world
    return app
