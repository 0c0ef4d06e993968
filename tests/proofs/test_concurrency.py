"""Many at once, in short. The whole: python -m tests.proofs concurrency"""

import pytest

from tests.proofs import concurrency


@pytest.mark.timeout(180)
def test_however_many_come_at_once_money_moves_once(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = concurrency.run(seed=1, long=False)
    assert report.wrong == {}
    assert report.counts["callers"] == 2 * 32
    assert report.counts["confirms at the PG"] == 2
    assert report.counts["racing refunds"] == concurrency.RACING[False]
    assert report.counts["accepted refunds"] == report.counts["cancels at the PG"] == 33
    assert report.counts["interleavings"] >= 2 * 8
