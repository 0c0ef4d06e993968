"""Whoever waits for the database at one moment is served in one transaction: its statements, its commit and its way to
the disk cost many hardly more than one."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession

Wish = TypeVar("Wish")
Serve = Callable[[Session, Sequence[Wish]], Sequence[Any]]
"""Everybody's answer, in the order of their wishes; an exception among them goes to whoever's it is. What it raises
undoes the transaction, and everybody is served alone."""

ALONE = object()
"""An answer: this one has to wait for something, and nobody must wait with it or behind it. It is asked for once more,
in a transaction beside the queue, whose `session.info["alone"]` is True."""

MOST = 64  # wishes of one transaction: the first of them waits for the last


@dataclass(frozen=True)
class Waiting(Generic[Wish]):
    key: Hashable | None
    wish: Wish
    answer: "asyncio.Future[Any]"


class Together(Generic[Wish]):
    """One queue: who comes while a transaction runs waits for the next. Two with the same `key` are never in one."""

    def __init__(self, begin: Callable[[], AbstractAsyncContextManager[AsyncSession]], serve: Serve[Wish]) -> None:
        self._begin, self._serve = begin, serve
        self._waiting: list[Waiting[Wish]] = []
        self._server: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()

    async def answer(self, wish: Wish, key: Hashable | None = None) -> Any:
        """Raises what `serve` has for this wish. What is asked for is done even when nobody waits for it any more."""
        waiting = Waiting(key, wish, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._go_on())
        return await waiting.answer

    async def end(self) -> None:
        """Once everybody is served."""
        while busy := [task for task in (self._server, *self._alone) if task and not task.done()]:
            await asyncio.wait(busy)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(0)  # whoever has something to ask at this very moment comes along
            if not (some := self._next()):
                return
            await self._transact(some)

    def _next(self) -> list[Waiting[Wish]]:
        taken: list[Waiting[Wish]] = []
        later, keys = [], set()
        for waiting in self._waiting:
            if waiting.key in keys or len(taken) == MOST:
                later.append(waiting)
            elif not waiting.answer.done():  # given up before it was begun
                taken.append(waiting)
                keys |= {waiting.key} - {None}
        self._waiting = later
        return taken

    async def _transact(self, some: Sequence[Waiting[Wish]], *, alone: bool = False) -> None:
        committing = False
        try:
            async with self._begin() as session:
                session.info["alone"] = alone
                answers = await session.run_sync(self._serve, [waiting.wish for waiting in some])
                committing = True
        except Exception as error:
            # One has spoilt it for all. But nobody knows what became of a commit that failed: that is not done again.
            answers = [ALONE if len(some) > 1 and not committing else error] * len(some)
        for waiting, answer in zip(some, answers, strict=True):
            if answer is ALONE:
                self._alone.add(task := asyncio.create_task(self._transact([waiting], alone=True)))
                task.add_done_callback(self._alone.discard)
            else:
                _give(waiting.answer, answer)


def _give(waits: "asyncio.Future[Any]", answer: Any) -> None:
    if waits.done():
        return
    if isinstance(answer, Exception):
        waits.set_exception(answer)
    else:
        waits.set_result(answer)
