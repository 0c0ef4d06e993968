"""What runs beside the app goes on after a setback, and does not fill the log with it."""

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from app.beside import keep_on
from app.config import Settings
from app.main import create_app


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the settings', and not used
@pytest.mark.parametrize("away", ["sqlite:///{}/empty.db", "postgresql://nobody@127.0.0.1:1/nothing"])
def test_a_database_that_is_away_is_told_in_a_line_now_and_then(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, away: str
) -> None:
    changed = replace(settings, database_url=away.format(tmp_path), reconcile_every=1)
    with TestClient(create_app(changed)) as door:
        time.sleep(1.5)
        assert door.get("/healthz").status_code == 200
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    said = " ".join(record.getMessage() for record in told)
    assert "일괄 환불을 잇지 못했습니다. 다시 합니다 (데이터베이스: " in said
    assert "대사를 한 차례 거릅니다 (데이터베이스: " in said
    assert len(told) <= 6, said
    assert not [record for record in told if record.exc_info or "SELECT" in record.getMessage()]


@pytest.mark.anyio
async def test_the_pauses_grow_up_to_half_a_minute_and_begin_anew_after_a_success(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = OperationalError("SELECT 1", None, Exception("no such table"))
    outcomes = iter([None, *[away] * 7, None, away, ValueError("a mistake of ours")])
    pauses, sleep, me = list[float](), asyncio.sleep, asyncio.current_task()

    async def do() -> None:
        outcome = next(outcomes, asyncio.CancelledError())
        if outcome:
            raise outcome

    async def pause(seconds: float) -> None:
        if asyncio.current_task() is me:
            pauses.append(seconds)
        else:  # the sandbox's, in a thread beside us
            await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await keep_on(do, "거릅니다", 0.5)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 0.5, 1, 2]
    assert [bool(record.exc_info) for record in caplog.records] == [False] * 8 + [True], "only ours with its traceback"
