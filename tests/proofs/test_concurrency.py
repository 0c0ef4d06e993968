"""Many at once, in short. The whole: python -m tests.proofs concurrency"""

import pytest

from tests.proofs import concurrency
from tests.proofs.gates import WAYS


@pytest.mark.timeout(180)
def test_however_many_come_at_once_money_moves_once(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = concurrency.run(seed=1, long=False)
    assert report.wrong == {}
    assert report.counts["callers"] == 2 * 5 * len(WAYS)
    assert report.counts["confirms at the PGs"] == 2 * len(WAYS)
    assert report.counts["racing refunds"] == concurrency.RACING[False]
    assert report.counts["accepted refunds"] == report.counts["cancels at the PGs"] == 33
    assert report.counts["interleavings"] >= 2 * len(WAYS)
