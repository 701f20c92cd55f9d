"""What standing orders have in common: schedules and triggers, by which tasks are posted later, and by themselves.

Rules: a key makes one order, once, and asked again finds it; with another spec it is a conflict. Of the orders that are
over the newest `KEPT_MAX` are kept to be shown. A task that an order posts comes after no other: none that is there now
would mean anything by then.

Pure: no clock.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec

from actors.rules import idempotency, tasks
from actors.rules.idempotency import Keys
from bus.messages.base import Microseconds
from bus.messages.tasks import TaskSpec
from bus.refusals import IdempotencyConflict, InvalidField, NotFound

KEPT_MAX = 1_000
"""Orders of a kind that are over and still shown."""


class Order(Protocol):
    """A schedule or a trigger."""

    @property
    def spec(self) -> msgspec.Struct: ...


Kept = TypeVar("Kept", bound=Order)


def order_of(kind: str, orders: Mapping[str, Kept], name: str) -> Kept:
    """The order, or `NotFound`."""
    found = orders.get(name)
    if found is None:
        raise NotFound(kind, name)
    return found


def repeated(orders: Mapping[str, Order], keys: Keys, key: str, spec: msgspec.Struct, now_us: Microseconds) -> str:
    """The order that the key has made, or empty; `IdempotencyConflict` if it was for another spec, or is forgotten."""
    known = idempotency.subject_of(keys, key, now_us)
    if known and (known not in orders or orders[known].spec != spec):
        raise IdempotencyConflict(f"key {key}")
    return known


def forget(orders: dict[str, Kept], is_over: Callable[[Kept], bool]) -> None:
    """Let the oldest go that are over, beyond those that are shown."""
    over = [name for name, one in orders.items() if is_over(one)]
    for name in over[: max(0, len(over) - KEPT_MAX)]:
        del orders[name]


def sound_task(field: str, spec: TaskSpec) -> TaskSpec:
    """The spec of a task that is posted later. Raises `InvalidField`."""
    if spec.after:
        raise InvalidField(f"{field}.after", "a task that is posted later comes after none that is there now")
    try:
        return tasks.sound(spec)
    except InvalidField as error:
        raise InvalidField(f"{field}{error.path.removeprefix('spec')}", error.reason) from error
