"""The PG charges and goes silent, in short. The whole: python -m tests.proofs faults"""

import pytest

from tests.proofs import faults


@pytest.mark.timeout(180)
def test_whatever_the_pg_does_we_end_in_its_truth(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = faults.run(seed=1, long=False)
    assert report.wrong == {}
    assert report.counts["accidents"] >= sum(map(len, faults.KINDS.values())) / 5 - len(faults.KINDS)
    assert report.counts["settled by reopening the page"]
    assert report.counts["measured recoveries"]
