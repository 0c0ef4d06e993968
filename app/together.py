"""Whoever waits for a transaction at one moment is served in one: its statements, its commit and its trip to the disk
cost many hardly more than one."""

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
undoes the transaction."""

MOST = 64  # wishes of one transaction: the first of them waits for the last


@dataclass(frozen=True)
class Waiting(Generic[Wish]):
    key: Hashable
    wish: Wish
    answer: "asyncio.Future[Any]"


class Together(Generic[Wish]):
    """One queue: who comes while a transaction runs waits for the next. Two with the same `key` are never in one."""

    def __init__(self, write: Callable[[], AbstractAsyncContextManager[AsyncSession]], serve: Serve[Wish]) -> None:
        self._write, self._serve = write, serve
        self._waiting: list[Waiting[Wish]] = []
        self._server: asyncio.Task[None] | None = None

    async def answer(self, key: Hashable, wish: Wish) -> Any:
        """Raises what `serve` has for this wish. What is asked for is done even when nobody waits for it any more."""
        waiting = Waiting(key, wish, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._go_on())
        return await waiting.answer

    async def _go_on(self) -> None:
        while some := self._next():
            await self._transact(some)

    def _next(self) -> list[Waiting[Wish]]:
        taken: dict[Hashable, Waiting[Wish]] = {}
        later = []
        for waiting in self._waiting:
            if waiting.key in taken or len(taken) == MOST:
                later.append(waiting)
            elif not waiting.answer.done():  # given up before it was begun
                taken[waiting.key] = waiting
        self._waiting = later
        return list(taken.values())

    async def _transact(self, some: Sequence[Waiting[Wish]]) -> None:
        committing = False
        try:
            async with self._write() as session:
                answers = await session.run_sync(self._serve, [waiting.wish for waiting in some])
                committing = True
        except Exception as error:
            # One has spoilt it for all, and everybody is served alone. But nobody knows what became of a commit that
            # failed: it is not asked for again.
            if len(some) > 1 and not committing:
                for waiting in some:
                    await self._transact([waiting])
            else:
                answers = [error] * len(some)
                _give(some, answers)
        else:
            _give(some, answers)


def _give(some: Sequence[Waiting[Any]], answers: Sequence[Any]) -> None:
    for waiting, answer in zip(some, answers, strict=True):
        if waiting.answer.done():
            continue
        if isinstance(answer, Exception):
            waiting.answer.set_exception(answer)
        else:
            waiting.answer.set_result(answer)
