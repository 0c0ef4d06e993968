"""A simulated world, in short. The whole: python -m tests.proofs world"""

import pytest

from tests.proofs import world
from tests.proofs.world_doors import DOORS


@pytest.mark.timeout(180)
def test_a_world_of_accidents_keeps_its_books(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = world.run(seed=15, long=False)
    assert report.wrong == {}
    assert report.counts["payments"] == sum(size for size, _, _ in world.WORLDS[False].values())
    assert {"restart", "refund", "webhook", "reconcile", "call lost after", "late arrival"} <= set(report.counts)
    ways = {way for door in DOORS for way in door.ways}
    assert {f"orders by {way}" for way in ways} <= set(report.counts)


def test_a_seed_decides_everything() -> None:
    """A world that breaks can be played again."""
    told: list[list[str]] = [[], []]
    for lines in told:
        world.worlds([7], 12, lines.append)
    assert told[0] == told[1]
    assert len(told[0]) > 20
