"""What differs between two states."""

from actors.rules.differences import KEYS_MAX, Difference, Keys, difference, is_same

NONE = Keys(0, ())


def test_entries_that_came_went_and_changed_are_told_apart() -> None:
    before = b'{"tasks":{"t-1":{"state":"open"},"t-2":{}},"count":2,"same":[1]}'
    after = b'{"tasks":{"t-1":{"state":"done"},"t-3":{}},"count":2,"same":[1]}'
    assert difference("coordinator", before, after) == Difference(
        "coordinator", Keys(1, ("tasks.t-3",)), Keys(1, ("tasks.t-2",)), Keys(1, ("tasks.t-1",)), 64, 64
    )


def test_an_actor_that_came_or_went_has_all_its_keys_added_or_removed() -> None:
    assert difference("a", b"", b'{"x":1,"y":{}}') == Difference("a", Keys(1, ("x",)), NONE, NONE, 0, 14)
    assert difference("a", b'{"x":1}', b"").removed == Keys(1, ("x",))


def test_of_many_keys_the_first_are_told_and_how_many_there_are() -> None:
    after = b"{" + b",".join(b'"k%03d":1' % number for number in range(100)) + b"}"
    added = difference("a", b"{}", after).added
    assert (added.count, len(added.first), added.first[0]) == (100, KEYS_MAX, "k000")


def test_the_order_of_keys_makes_no_other_state() -> None:
    assert is_same(b'{"a":1,"b":2}', b'{"b":2,"a":1}')
    assert not is_same(b'{"a":[1,2]}', b'{"a":[2,1]}')


def test_an_entry_without_a_name_is_told_as_such() -> None:
    assert difference("a", b'{"outcomes":{"":1}}', b'{"outcomes":{"":2}}').changed == Keys(1, ('outcomes.""',))
