"""What the next checkpoint is made of, from one copy to the next."""

from actors.last_copies import LastCopies
from actors.runtime import Copies, Copy
from bus.address import Address
from bus.messages.base import Position
from storage.manifests import ActorState

LEDGER, SCOUT, SCRIBE = Address("ledger"), Address("agents/scout"), Address("agents/scribe")


def _copy(position: int, state: bytes | None, *, is_behind: bool = False, follows: bool = False) -> Copy:
    pieces = (state,) if state is not None else None
    return Copy(Position(position), Position(position - 1), pieces, follows, ("notes",), is_behind)


def _whole(number: int, position: int, **actors: Copy) -> Copies:
    names = {"ledger": LEDGER, "scout": SCOUT, "scribe": SCRIBE}
    copies = {names[name]: copy for name, copy in actors.items()}
    return Copies(number, Position(position), copies, is_whole=True)


async def test_what_is_not_copied_again_stands_as_it_was_at_the_position_of_the_copies() -> None:
    last = LastCopies()
    await last.take(_whole(1, 10, ledger=_copy(10, b"{}"), scout=_copy(10, b"[]")), {})
    assert set(last.changes.addresses) == {LEDGER, SCOUT}
    last.were_saved()
    await last.take(Copies(2, Position(20), {LEDGER: _copy(21, b"{1}")}), {})
    assert (last.changes.addresses, last.changes.position, last.highest) == ((LEDGER,), 20, 21)
    assert {address: state.state for address, state in last.states.items()} == {LEDGER: b"{1}", SCOUT: b"[]"}


async def test_what_was_not_saved_stays_changed_until_it_is() -> None:
    last = LastCopies()
    await last.take(_whole(1, 10, ledger=_copy(10, b"{}"), scout=_copy(10, b"[]")), {})
    last.were_saved()
    await last.take(Copies(2, Position(20), {LEDGER: _copy(20, b"{1}")}), {})
    await last.take(Copies(3, Position(30), {SCOUT: _copy(30, b"[1]")}), {})
    assert last.changes.addresses == (LEDGER, SCOUT)
    last.were_saved()
    assert not last.changes.addresses


async def test_a_state_that_only_handled_facts_keeps_its_pieces_under_its_new_cursor() -> None:
    last = LastCopies()
    await last.take(_whole(1, 10, ledger=_copy(10, b"{}")), {})
    await last.take(Copies(2, Position(20), {LEDGER: _copy(20, None, is_behind=True)}), {})
    assert last.states[LEDGER] == ActorState(Position(20), Position(19), (b"{}",))
    assert last.behind == (LEDGER,)


async def test_one_that_does_not_run_stays_where_it_stood_and_is_behind() -> None:
    last = LastCopies()
    await last.take(_whole(1, 10, ledger=_copy(10, b"{}"), scout=_copy(10, b"[]")), {})
    await last.take(Copies(2, Position(20), {}), {})
    await last.take(Copies(3, Position(30), {}, absent=(SCOUT,)), {})
    assert last.states[SCOUT] == ActorState(Position(20), Position(9), (b"[]",), follows=True)
    assert (last.behind, last.left_out) == ((SCOUT,), ())
    await last.take(Copies(4, Position(40), {}, absent=(SCOUT,)), {})
    assert last.states[SCOUT].position == 20, "nothing is known of it since"


async def test_one_that_never_ran_here_stays_as_the_checkpoint_in_use_has_it_or_is_left_out() -> None:
    saved = {SCOUT: ActorState.of(Position(5), Position(4), b"[]")}
    last = LastCopies()
    copies = Copies(1, Position(10), {LEDGER: _copy(10, b"{}")}, absent=(SCOUT, SCRIBE), is_whole=True)
    await last.take(copies, saved)
    assert last.states[SCOUT] == ActorState(Position(5), Position(4), (b"[]",), follows=True)
    assert (last.behind, last.left_out) == ((SCOUT,), (SCRIBE,))


async def test_one_that_is_gone_is_in_nothing_any_more() -> None:
    last = LastCopies()
    await last.take(_whole(1, 10, ledger=_copy(10, b"{}"), scout=_copy(10, b"[]")), {})
    await last.take(Copies(2, Position(20), {}, gone=(SCOUT,)), {})
    assert last.states.keys() == {LEDGER}
    assert (last.changes.addresses, last.includes) == ((LEDGER,), {"ledger": ("notes",)})


async def test_the_settings_leave_out_whom_they_name_running_or_not() -> None:
    last = LastCopies(("agents/*",))
    copies = {LEDGER: _copy(10, b"{}"), SCOUT: _copy(10, b"[]")}
    await last.take(Copies(1, Position(10), copies, absent=(SCRIBE,), is_whole=True), {})
    assert (set(last.states), last.left_out) == ({LEDGER}, (SCOUT, SCRIBE))
    assert last.includes == {"ledger": ("notes",)}
    await last.take(Copies(2, Position(20), {SCOUT: _copy(20, b"[1]")}), {})
    assert (set(last.states), last.left_out) == ({LEDGER}, (SCOUT, SCRIBE))


async def test_without_any_state_there_is_nothing_to_save() -> None:
    last = LastCopies()
    await last.take(Copies(1, Position(10), {}, is_whole=True), {})
    assert (last.states, last.highest) == ({}, 0)
