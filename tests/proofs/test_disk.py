"""The short run of `disk.py`."""

import pytest

from tests.proofs import disk


@pytest.mark.timeout(300)
def test_without_room_nothing_is_asked_of_the_pg_and_with_room_everything_heals(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = disk.run(seed=1, long=False)
    assert report.wrong == {}
    for engine in ("sqlite", "postgresql"):
        assert report.counts[f"{engine} 503 as it should be"] >= 4 + 4
        assert report.counts[f"{engine} points"] == 4
        assert report.counts[f"{engine} healed alone"] == 2
