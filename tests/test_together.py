"""Many who wait for the database at one moment are served in one transaction, and none of them by another's luck."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app.db import Database
from app.together import MOST

Story = Callable[[Database], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    """On a table of its own."""

    async def tell(story: Story) -> None:
        db = Database(f"sqlite:///{tmp_path / 'it.db'}")
        async with db.write() as session:
            await (await session.connection()).execute(text("CREATE TABLE thing (id INTEGER PRIMARY KEY)"))
        try:
            await story(db)
        finally:
            await db.close()

    return lambda story: asyncio.run(tell(story))


def add(session: Session, numbers: Sequence[int]) -> Sequence[Any]:
    """Refuses what is below zero, and answers the others with how many came together."""
    good = [number for number in numbers if number >= 0]
    for number in good:
        session.execute(text("INSERT INTO thing VALUES (:number)"), {"number": number})
    return [len(numbers) if number >= 0 else ValueError(number) for number in numbers]


async def ask(db: Database, *numbers: int) -> list[Any]:
    asked = (db.write_together(add, number, key=number) for number in numbers)
    return await asyncio.gather(*asked, return_exceptions=True)


async def there(db: Database) -> list[int]:
    async with db.read() as session:
        rows = await (await session.connection()).execute(text("SELECT id FROM thing ORDER BY id"))
        return list(rows.scalars())


def commits(db: Database) -> list[object]:
    heard: list[object] = []
    event.listen(db._writer.sync_engine, "commit", heard.append)
    return heard


def test_who_waits_at_one_moment_shares_one_commit(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        heard = commits(db)
        assert await ask(db, *range(20)) == [20] * 20
        assert len(heard) == 1
        assert await there(db) == list(range(20))

    play(story)


def test_who_comes_while_others_are_served_waits_for_the_next(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        begun = asyncio.Event()

        def begin(session: Session, numbers: Sequence[int]) -> Sequence[Any]:
            begun.set()
            return add(session, numbers)

        first = asyncio.gather(db.write_together(begin, 1, key=1))
        await begun.wait()
        assert await asyncio.gather(*(db.write_together(begin, number, key=number) for number in (2, 3))) == [2, 2]
        assert list(await first) == [1]

    play(story)


def test_no_more_are_served_at_once_than_the_first_can_wait_for(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        answers = await ask(db, *range(MOST + 5))
        assert answers == [MOST] * MOST + [5] * 5

    play(story)


def test_a_refusal_is_told_to_whom_it_concerns(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        yes, no, also = await ask(db, 1, -1, 2)
        assert (yes, also) == (3, 3)
        assert isinstance(no, ValueError)
        assert await there(db) == [1, 2]

    play(story)


def test_what_one_breaks_is_done_for_the_others_all_the_same(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        await ask(db, 2)
        one, two, three = await ask(db, 1, 2, 3)
        assert (one, three) == (1, 1), "each was served alone"
        assert isinstance(two, IntegrityError)
        assert await there(db) == [1, 2, 3]

    play(story)


def test_two_with_one_key_are_never_in_one_transaction(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        asked = [db.write_together(add, number, key="the same") for number in (1, 2, 3)]
        assert await asyncio.gather(*asked) == [1, 1, 1]

    play(story)


def test_a_commit_that_fails_is_not_asked_for_again(play: Callable[[Story], None]) -> None:
    """Nobody knows what became of it: done twice would be worse than an error."""

    async def story(db: Database) -> None:
        heard, served = commits(db), list[int]()

        def counted(session: Session, numbers: Sequence[int]) -> Sequence[Any]:
            served.append(len(numbers))
            return add(session, numbers)

        broken = OperationalError("COMMIT", {}, Exception("the disk is full"))
        with patch("sqlalchemy.orm.session.SessionTransaction.commit", side_effect=broken):
            asked = [db.write_together(counted, number, key=number) for number in (1, 2)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers == [broken, broken]
        assert (served, heard) == ([2], [])
        assert await there(db) == []
        assert await ask(db, 3) == [1], "and the next are served"

    play(story)


def test_who_gives_up_waiting_takes_nobody_along(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        first, second = (asyncio.create_task(db.write_together(add, number, key=number)) for number in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 1, "given up before it was begun, it is not done"
        begun = asyncio.Event()

        def begin(session: Session, numbers: Sequence[int]) -> Sequence[Any]:
            begun.set()
            return add(session, numbers)

        third, fourth = (asyncio.create_task(db.write_together(begin, number, key=number)) for number in (3, 4))
        await begun.wait()
        third.cancel()
        assert await fourth == 2
        assert await there(db) == [2, 3, 4], "given up in the middle, it is done"

    play(story)


def test_a_database_is_closed_when_everybody_is_served(play: Callable[[Story], None]) -> None:
    """Whoever asked may have gone: what was asked for is done."""

    async def story(db: Database) -> None:
        its = Database(str(db.url).replace("+aiosqlite", ""))
        asked = [asyncio.create_task(its.write_together(add, number, key="the same")) for number in (1, 2)]
        await asyncio.sleep(0)
        await its.close()
        assert [task.done() for task in asked] == [True, True]
        assert await there(db) == [1, 2]

    play(story)


def test_reading_together_commits_nothing(play: Callable[[Story], None]) -> None:
    def look(session: Session, numbers: Sequence[int]) -> Sequence[Any]:
        found = set(session.execute(text("SELECT id FROM thing")).scalars())
        return [(number in found, len(numbers)) for number in numbers]

    async def story(db: Database) -> None:
        await ask(db, 1)
        heard = commits(db)
        found = await asyncio.gather(*(db.read_together(look, number) for number in (1, 2, 1)))
        assert (found, heard) == ([(True, 3), (False, 3), (True, 3)], [])

    play(story)
