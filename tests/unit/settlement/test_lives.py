"""The lives of lines and registers, as tables."""

import pytest

from insuretech.settlement.domain import LINE_MOVES, REGISTER_MOVES, LineState, RegisterStatus, sources_of

ALLOWED = {
    ("open", "in_register"),
    ("in_register", "acknowledged"),
    ("in_register", "disputed"),
    ("acknowledged", "disputed"),
    ("acknowledged", "settled"),
    ("disputed", "acknowledged"),
    ("disputed", "settled"),
}


@pytest.mark.parametrize("before", LineState)
@pytest.mark.parametrize("after", LineState)
def test_a_line_moves_only_as_stated(before: LineState, after: LineState) -> None:
    """A line that went back to open would enter a second register and be paid twice."""
    assert (after in LINE_MOVES[before]) == ((before.value, after.value) in ALLOWED)
    assert (before in sources_of(after, LINE_MOVES)) == ((before.value, after.value) in ALLOWED)


def test_registers_go_one_way() -> None:
    """A register sent before its files are signed could not be verified by anybody."""
    order = [RegisterStatus.CLOSED, RegisterStatus.PREPARED, RegisterStatus.SENT, RegisterStatus.ACKNOWLEDGED]
    for before, after in zip(order, [*order[1:], RegisterStatus.SETTLED], strict=True):
        assert REGISTER_MOVES[before] == {after}
    assert not REGISTER_MOVES[RegisterStatus.SETTLED]
