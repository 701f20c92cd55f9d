"""Events as tables."""

from bus.messages.agents import ActionExecuted
from bus.messages.base import AccountId, AgentId, TaskId, TransferId
from bus.messages.ledger import Balance, Posting, TransferPosted, TransferPostedMany, TransferRefused
from bus.messages.tasks import AuctionClosed, Bid
from tests.web.support import stored
from web import statements
from web.statements import BALANCES, DAYS, DECISIONS, TRANSFERS, Days


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


def test_transfers_that_were_made_together_are_a_row_each_and_count_as_any_other() -> None:
    postings = (
        Posting(TransferId("a"), AccountId("treasury"), AccountId("bob"), 5, "work"),
        Posting(TransferId("b"), AccountId("bob"), AccountId("ann"), 2),
    )
    together = stored(7, TransferPostedMany("scrip", postings))
    rows = list(statements.transfer_rows([together]))
    assert [tuple(row) for row in rows] == [TRANSFERS, TRANSFERS]
    assert [(row["position"], row["transfer"], row["currency"], row["amount"]) for row in rows] == [
        (7, "a", "scrip", 5),
        (7, "b", "scrip", 2),
    ]
    days = Days()
    days.add([together])
    assert {row["account"]: row["net"] for row in days.rows()} == {"treasury": -5, "bob": 3, "ann": 2}


def test_what_went_to_accounts_of_fees_is_told_apart() -> None:
    days = Days("bob")
    days.add([stored(1, posted(100, "bob", "ann")), stored(2, posted(3, "bob", "fees/lightning"))])
    [row] = days.rows()
    assert (row["outgoing"], row["fees"], row["net"]) == (103, 3, -103)


def test_balances_are_a_row_for_each_account_and_currency() -> None:
    balance = Balance(AccountId("bob"), "msat", 10, 7, 1, 2, 0, 0, 3, 1)
    [row] = statements.balance_rows([balance])
    assert tuple(row) == BALANCES
    assert (row["incoming"], row["outgoing"], row["fees"], row["net"], row["held_out"], row["available"]) == (
        10,
        7,
        1,
        3,
        2,
        1,
    )


def test_no_cell_is_a_formula_and_what_needs_quotes_has_them() -> None:
    rows = list(statements.transfer_rows([stored(1, posted(5, reason='=1+1, "quoted"'))]))
    assert statements.lines("csv", rows).endswith(b""","'=1+1, ""quoted\"""\r\n""")
    assert statements.lines("jsonl", rows).endswith(b'"reason":"=1+1, \\"quoted\\""}\n')
    assert statements.head("csv", DAYS) == b"day,account,currency,incoming,outgoing,fees,net\r\n"
    assert statements.head("jsonl", DAYS) == b""
