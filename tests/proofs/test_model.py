"""Every state meets every verb and every answer. With siblings: python -m tests.proofs model"""

import pytest

from app.models import Status
from tests.proofs import model
from tests.proofs.model_answers import KINDS, answers


@pytest.mark.timeout(180)
def test_no_verb_breaks_the_books_whatever_the_pg_says(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", postgres)
    report = model.run(seed=1, long=False)
    assert report.wrong == {}
    asking, others = len(model.ASKING), len(model.verbs()) - len(model.ASKING)
    withdrawn = len(answers()) - 1  # of a payment that waits for its deposit
    assert report.counts["state × verb × answer"] == len(Status) * (asking * len(answers()) + others) + withdrawn
    assert {f"walked at {kind} on sqlite" for kind in KINDS} <= set(report.counts)
    assert [name for name in report.counts if name.endswith("on postgresql")]
