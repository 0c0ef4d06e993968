"""Webhooks in every disorder, in short. The whole: python -m tests.proofs webhooks"""

import pytest

from tests.proofs import webhooks
from tests.proofs.webhooks_stories import stories


@pytest.mark.timeout(180)
def test_no_disorder_of_webhooks_changes_what_the_pg_says(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = webhooks.run(seed=1, long=False)
    assert report.wrong == {}
    parts = [("sqlite", pg) for pg in webhooks.PGS] + [("postgresql", "toss")]
    assert report.counts["replays"] == len(parts) * 20
    assert report.counts["forged"] == len(parts) * 20
    assert report.counts["orders of delivery"] == sum(len(stories(pg)) for _, pg in parts)
    assert report.counts["late and doubled"]
