"""Quotas: it says whether an agent may use more calls, tokens or disk, and keeps the count.

Its state is what was used (`actors.rules.quotas`), a fold of its own events, so a restart forgets no use. Who has no
quota is answered without a trace.
"""

from typing import ClassVar

from actors.rules import quotas as rules
from actors.rules.quotas import QuotasOptions, Usage
from actors.runtime import Deferred, PersistentActor
from bus.messages.base import Done, Event
from bus.messages.quotas import (
    QuotaGranted,
    QuotaPage,
    QuotaReserved,
    ReadQuotas,
    ReserveQuota,
    SettleQuota,
)


class Quotas(PersistentActor[Usage]):
    """The one actor that counts what agents use."""

    state_type: ClassVar[type[Usage]] = Usage

    def __init__(self, options: QuotasOptions) -> None:
        self._options = options

    def initial(self) -> Usage:
        return Usage()

    def apply(self, event: Event) -> None:
        rules.apply(self.state, event)

    def on_reserve_quota(self, command: ReserveQuota) -> QuotaGranted | None:
        events, refusal = rules.decide_reserve(self.state, command, self._options, self.now_us)
        if refusal is not None:
            if events:
                self.persist(*events)
            answer: Deferred[QuotaGranted] = self.defer()  # a turn that has recorded something cannot raise
            answer.refuse(refusal)
            return None
        if events:
            self.persist(*events)
        return QuotaGranted(next((event.use for event in events if isinstance(event, QuotaReserved)), 0))

    def on_settle_quota(self, command: SettleQuota) -> Done:
        events = rules.decide_settle(self.state, command)
        if events:
            self.persist(*events)
        return Done()

    def on_read_quotas(self, query: ReadQuotas) -> QuotaPage:
        return QuotaPage(rules.uses(self.state, self._options, self.now_us, query.agent))
