"""The short run of `crash.py`."""

import pytest

from tests.proofs import crash


@pytest.mark.timeout(300)
def test_a_process_that_dies_anywhere_loses_nothing_and_takes_nothing_twice(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = crash.run(seed=1, long=False)
    assert report.wrong == {}
    assert report.counts["sqlite crash points"] >= 100
    for (engine, _), stride in crash.STRIDE.items():
        visited, of = report.counts[f"{engine} points visited"], report.counts[f"{engine} crash points"]
        assert visited * stride >= of - stride + 1
    assert report.counts["sqlite random schedules"] + report.counts["postgresql random schedules"] == 2
    assert report.counts["sqlite deaths"] >= report.counts["sqlite points visited"]
    assert max(report.counts[f"{engine} longest wait"] for engine in ("sqlite", "postgresql")) <= 60
