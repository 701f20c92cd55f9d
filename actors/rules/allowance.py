"""Decide how much money is drawn in advance, so that a paid call need not wait for the disk.

Rules: what all calls under way have reserved is never more than what was drawn and not spent, and a draw counts only
once it is committed. A draw takes a slice, and never so much that what is spent and what is drawn exceed a budget
together, the own one of the agent that calls included. So whatever a crash forgets of calls that were made, it cost no
more than what was drawn: after a restart the rest of the draw counts as spent. When no call is under way for a while,
what is left is given back.

Pure.
"""

from collections.abc import Sequence
from typing import Final

from actors.rules.ledger import MODELS
from actors.rules.spending import Budget, Spending
from bus.messages.base import AccountId, TransferId
from bus.messages.ledger import Transfer

ROOM_SHARE = 8
"""A slice is at most this part of what a budget has left: so much of it a crash can cost."""
ALLOWANCE: Final = AccountId("router/allowance")
"""Holds what is drawn and not spent."""


def to_draw(spending: Spending, budgets: Sequence[Budget], slice_usd_micros: int) -> int:
    """What has to be drawn before a call may begin whose reservation is in the books; 0 if there is enough.

    `budgets` are those that it draws on.
    """
    missing = spending.reserved - spending.allowance
    if missing <= 0:
        return 0
    room = min((budget.limit - budget.spent - spending.allowance for budget in budgets), default=None)
    wanted = slice_usd_micros if room is None else min(slice_usd_micros, room // ROOM_SHARE)
    return max(missing, wanted)


def slice_transfer(number: int, amount_usd_micros: int) -> Transfer:
    """The transfer that draws a slice; the same each time that it is asked for."""
    return Transfer(
        transfer=TransferId(f"allowance/{number}"),
        debit=MODELS,
        credit=ALLOWANCE,
        currency="usd_micros",
        amount=amount_usd_micros,
        reason="an allowance for paid calls",
    )
