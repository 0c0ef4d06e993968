"""A PG that keeps silent is not offered for a while."""

import pytest

from app import circuit
from app.circuit import PAUSE, SILENCES, Circuit


class Clock:
    """Seconds of the monotonic clock, set by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(circuit, "time", clock)
    return clock


def test_it_opens_after_several_silences_in_a_row_and_not_before(clock: Clock) -> None:
    pg = Circuit()
    for _ in range(SILENCES - 1):
        pg.silent()
        assert not pg.open
    pg.silent()
    assert pg.open


def test_an_answer_begins_the_count_anew(clock: Clock) -> None:
    pg = Circuit()
    for _ in range(SILENCES - 1):
        pg.silent()
    pg.answered()
    pg.silent()
    assert not pg.open


def test_after_a_pause_one_more_silence_is_enough(clock: Clock) -> None:
    pg = Circuit()
    for _ in range(SILENCES):
        pg.silent()
    clock.now += PAUSE
    assert not pg.open, "the next buyer may try"
    pg.silent()
    assert pg.open


def test_one_answer_closes_it(clock: Clock) -> None:
    pg = Circuit()
    for _ in range(SILENCES):
        pg.silent()
    pg.answered()
    assert not pg.open
