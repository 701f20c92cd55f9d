"""The life of an actor, as its table has it."""

import itertools

import pytest

from actors.runtime.lifecycle import TRANSITIONS, Lifecycle, moved
from bus.refusals import IllegalTransition

PAIRS = list(itertools.product(Lifecycle, Lifecycle))


@pytest.mark.parametrize(("state", "to"), PAIRS)
def test_a_move_is_made_if_the_table_has_it_and_refused_if_not(state: Lifecycle, to: Lifecycle) -> None:
    if to in TRANSITIONS[state]:
        assert moved("a", state, to) is to
    else:
        with pytest.raises(IllegalTransition):
            moved("a", state, to)


def test_nothing_comes_after_the_end_and_every_life_can_end() -> None:
    assert TRANSITIONS[Lifecycle.STOPPED] == frozenset()
    for state in set(Lifecycle) - {Lifecycle.STOPPING, Lifecycle.STOPPED}:
        assert Lifecycle.STOPPING in TRANSITIONS[state]
