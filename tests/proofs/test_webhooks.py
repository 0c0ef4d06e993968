"""Webhooks in every disorder, in short. The whole: python -m tests.proofs webhooks"""

import pytest

from tests.proofs import webhooks


@pytest.mark.timeout(180)
def test_no_disorder_of_webhooks_changes_what_the_pg_says(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = webhooks.run(seed=1, long=False)
    assert report.wrong == {}
    assert report.counts["replays"] >= 80
    assert report.counts["forged"] == 2 * 40
    assert report.counts["orders of delivery"] == 2 * len(webhooks.STORIES)
    assert report.counts["late and doubled"]
