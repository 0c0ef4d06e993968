"""The picture of a payment's life is the one that the code obeys."""

from app.models import MOVES, Status
from tests.machine import KINDS, PAGE, STATES, drawn


def test_the_picture_is_drawn_from_the_moves() -> None:
    assert PAGE.read_text(encoding="utf-8") == drawn(), "python -m tests.machine writes it anew"


def test_every_state_and_every_move_has_a_caption() -> None:
    assert set(STATES) == set(Status)
    assert set(KINDS) == set(MOVES)


def test_every_state_can_be_reached() -> None:
    reached = {Status.PENDING}
    for _ in Status:
        reached |= {after for ways in MOVES.values() for before, after in ways.items() if before in reached}
    assert reached == set(Status)


def test_what_is_unsettled_can_always_come_to_rest() -> None:
    """From every state there is a way to a state that needs no more asking."""
    for status in (Status.PENDING, Status.CONFIRMING, Status.WAITING, Status.IN_DOUBT):
        ends = {ways[status] for ways in MOVES.values() if status in ways}
        assert {Status.COMPLETED, Status.EXPIRED} <= ends
