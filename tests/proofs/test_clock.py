"""The short run of `clock.py`."""

import gc

import pytest

from tests.proofs import clock
from tests.proofs.gates import PGS


# Whoever dies at a call never hands back a database connection; its end is told here, not in some later test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
@pytest.mark.timeout(300)
def test_clocks_that_jump_and_disagree_move_no_money_twice_and_close_nothing_early(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = clock.run(seed=1, long=False, engines=["sqlite"])  # what a clock does is not in the database
    gc.collect()
    assert report.wrong == {}
    for engine, jumps, scenes in (("sqlite", 7, len(clock.SHORT)),):
        assert report.counts[f"{engine} jumps"] > jumps
        assert report.counts[f"{engine} clocks that disagree"] == 2 * scenes
        assert report.counts[f"{engine} days looked at"] == 4 * len(PGS)
        assert report.counts[f"{engine} longest wait"] <= 600 + 60 + 60
