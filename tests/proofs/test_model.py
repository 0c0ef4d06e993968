"""Every state meets every verb and every answer. With siblings: python -m tests.proofs model"""

import pytest

from app.models import Status
from tests.proofs import model
from tests.proofs.model_answers import answers


@pytest.mark.timeout(180)
def test_no_verb_breaks_the_books_whatever_the_pg_says() -> None:
    report = model.run(seed=1, long=False)
    assert report.wrong == {}
    asking, others = len(model.ASKING), len(model.verbs()) - len(model.ASKING)
    assert report.counts["state × verb × answer"] == len(Status) * (asking * len(answers()) + others)
