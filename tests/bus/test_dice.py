"""Dice: the same seed, the same throws."""

from bus.dice import Dice


def throws(dice: Dice) -> list[object]:
    return [dice.random(), dice.uniform(1, 2), dice.index(100), dice.choice("abc"), dice.token(4)]


def test_the_same_seed_throws_the_same() -> None:
    assert throws(Dice(7)) == throws(Dice(7))
    assert throws(Dice(7)) != throws(Dice(8))


def test_throws_stay_within_their_bounds() -> None:
    dice = Dice("bounds")
    for _ in range(100):
        assert 0 <= dice.random() < 1
        assert 1 <= dice.uniform(1, 2) <= 2
        assert 0 <= dice.index(3) < 3
        assert dice.choice([4, 5]) in (4, 5)


def test_a_token_is_lowercase_hex_of_its_size() -> None:
    token = Dice(1).token(6)
    assert len(token) == 12
    assert set(token) <= set("0123456789abcdef")


def test_one_parts_throws_never_change_anothers() -> None:
    one, other = Dice(1), Dice(1)
    first, second = one.split("a"), one.split("b")
    throws(first)
    alone = (other.split("a"), other.split("b"))[1]
    assert throws(second) == throws(alone)
