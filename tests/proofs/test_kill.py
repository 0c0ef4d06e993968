"""The short run of `kill.py`."""

import pytest

from tests.proofs import kill


@pytest.mark.timeout(300)
def test_a_server_that_is_killed_under_load_loses_nothing(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = kill.run(seed=1, long=False)
    assert report.wrong == {}
    for engine in ("sqlite", "postgresql"):
        assert report.counts[f"{engine} kills"] == kill.KILLS
        assert report.counts[f"{engine} requests"] > 20
        assert report.counts[f"{engine} rows of payment"] > 5
        assert report.counts[f"{engine} restart to ready max ms"] > 0
