"""An actor's place in the system: its states and its numbers."""

from actors.runtime import ChildSpec
from actors.runtime.cell import Cell
from actors.runtime.lifecycle import Lifecycle
from actors.runtime.virtual_time import Simulation
from bus.address import Address
from bus.bus import Bus
from bus.envelope import Origin
from bus.mailbox import Mailbox
from tests.support.virtual import Recorder, Tell, child, in_virtual_time, system_in


class Heard:
    """Hears what becomes of a cell."""

    def __init__(self) -> None:
        self.what: list[str] = []

    def failed(self, cell: Cell, fault: Exception) -> None:
        self.what.append(str(fault))

    def ended(self, cell: Cell) -> None:
        self.what.append("ended")


def a_cell(keeper: Heard | None = None) -> Cell:
    return Cell(ChildSpec(Address("one"), Recorder), Mailbox(), keeper or Heard())


def test_a_cell_may_run_when_it_runs_and_does_not_look_into_the_past() -> None:
    cell = a_cell()
    seen = [cell.may_run]
    cell.move(Lifecycle.RUNNING)
    seen.append(cell.may_run)
    cell.catch_up(True)
    seen.append(cell.may_run)
    cell.catch_up(False)
    cell.move(Lifecycle.PAUSED)
    seen.append(cell.may_run)
    cell.move(Lifecycle.RUNNING)
    seen.append(cell.may_run)
    assert seen == [False, True, False, False, True]


def test_a_cell_that_is_behind_has_work_and_is_busy_unless_it_is_paused() -> None:
    cell = a_cell()
    assert (cell.has_work(), cell.is_busy) == (False, False)
    cell.is_lagging = True
    assert (cell.has_work(), cell.is_busy) == (True, True)
    cell.move(Lifecycle.RUNNING)
    cell.move(Lifecycle.PAUSED)
    assert not cell.is_busy


def test_its_mailbox_comes_before_what_the_bus_has_and_subscriptions_take_turns() -> None:
    cell, bus = a_cell(), Bus()

    def subscribe() -> None:
        subscription = bus.subscribe(Tell, lambda pulled: cell.pulls.append(pulled) if cell.pulls is not None else None)
        cell.hold_subscription(subscription)

    subscribe()
    subscribe()
    for number in (1, 2):
        bus.publish((Tell(number), Origin()))
    cell.mailbox.offer((Tell(0), Origin()))
    taken = []
    while (envelope := cell.next_envelope()) is not None:
        taken.append(envelope[0])
    assert taken == [Tell(0), Tell(1), Tell(1), Tell(2), Tell(2)]


def test_its_supervisor_hears_how_it_ends() -> None:
    heard = Heard()
    cell = a_cell(heard)
    cell.failed(ValueError("a bug"))
    cell.ended()
    assert heard.what == ["a bug", "ended"]


@in_virtual_time
async def test_its_statistics_are_what_introspection_shows(simulation: Simulation) -> None:
    async with system_in(simulation) as system:
        await system.start(child("one", Recorder))
        system.pause(Address("one"))
        await simulation.pass_time(1)
        system.tell(Address("one"), Tell(1))
        await simulation.pass_time(5)
        statistics = system.statistics()[0]
        assert (statistics.kind, statistics.state, statistics.mailbox.depth) == ("Recorder", Lifecycle.PAUSED, 1)
        assert (statistics.handled, statistics.is_busy, statistics.jobs) == (0, False, 0)
