"""Events as tables."""

from bus.messages.agents import ActionExecuted
from bus.messages.base import AccountId, AgentId, TaskId, TransferId
from bus.messages.ledger import TransferPosted, TransferRefused
from bus.messages.tasks import AuctionClosed, Bid
from tests.web.support import stored
from web import statements
from web.statements import DAYS, DECISIONS, TRANSFERS, Days


def posted(amount: int, debit: str = "treasury", credit: str = "bob", reason: str = "work") -> TransferPosted:
    accounts = AccountId(debit), AccountId(credit)
    return TransferPosted(TransferId("p"), *accounts, "msat", amount, TransferId(""), reason)


def test_a_transfer_is_a_row_of_what_moved_and_why() -> None:
    refused = TransferRefused(
        TransferId("r"),
        AccountId("bob"),
        AccountId("ann"),
        "msat",
        9,
        TransferId(""),
        "bob has 0",
        "insufficient_funds",
    )
    rows = list(statements.transfer_rows([stored(1, posted(5)), stored(2, refused)]))
    assert [tuple(row) for row in rows] == [TRANSFERS, TRANSFERS]
    assert [(row["type"], row["transfer"], row["amount"], row["reason"]) for row in rows] == [
        ("transfer.posted", "p", 5, "work"),
        ("transfer.refused", "r", 9, "bob has 0"),
    ]


def test_a_decision_is_a_closed_auction_or_a_bid_that_was_learned_from() -> None:
    closed = AuctionClosed(TaskId("t-1"), 1, (Bid(AgentId("scout"), 90),), AgentId("scout"), 90, "the only bid")
    bid = ActionExecuted(AgentId("critic"), TaskId("t-1"), "bid", "lost", "asked 100", 1, price_msat=100)
    other = ActionExecuted(AgentId("critic"), TaskId("t-1"), "write_artifact", "executed")
    rows = list(statements.decision_rows([stored(1, closed), stored(2, bid), stored(3, other)]))
    assert [tuple(row) for row in rows] == [DECISIONS, DECISIONS]
    assert [(row["agent"], row["outcome"], row["price_msat"]) for row in rows] == [
        ("scout", "won", 90),
        ("critic", "lost", 100),
    ]


def test_days_sum_what_came_in_and_went_out() -> None:
    days = Days()
    days.add([stored(1, posted(5)), stored(2, posted(7)), stored(3, posted(2, "bob", "ann"))])
    found = {row["account"]: (row["incoming"], row["outgoing"], row["net"]) for row in days.rows()}
    assert found == {"treasury": (0, 12, -12), "bob": (12, 2, 10), "ann": (2, 0, 2)}
    assert {tuple(row) for row in days.rows()} == {DAYS}
    assert {row["day"] for row in days.rows()} == {"2025-06-15"}
    one = Days("ann")
    one.add([stored(1, posted(5)), stored(3, posted(2, "bob", "ann"))])
    assert [row["account"] for row in one.rows()] == ["ann"]


def test_no_cell_is_a_formula_and_what_needs_quotes_has_them() -> None:
    rows = list(statements.transfer_rows([stored(1, posted(5, reason='=1+1, "quoted"'))]))
    assert statements.lines("csv", rows).endswith(b""","'=1+1, ""quoted\"""\r\n""")
    assert statements.lines("jsonl", rows).endswith(b'"reason":"=1+1, \\"quoted\\""}\n')
    assert statements.head("csv", DAYS) == b"day,account,currency,incoming,outgoing,net\r\n"
    assert statements.head("jsonl", DAYS) == b""
