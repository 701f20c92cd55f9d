"""Events as tables: transfers, days, and what the market decided, as CSV or JSON Lines.

Rules: a table is streamed a page of events at a time, so that its length costs no memory; days are summed up while
they pass by. A CSV cell that a spreadsheet would take for a formula begins with an apostrophe.

Pure: pages of events in, lines out.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from bus.envelope import StoredEvent
from bus.messages.ledger import FEES, Balance
from web.wire import encode, timestamp

Format = Literal["csv", "jsonl"]
Row = dict[str, str | int]
MEDIA_TYPES: Final[dict[Format, str]] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}

TRANSFERS: Final = ("position", "time", "type", "transfer", "debit", "credit", "currency", "amount", "hold", "reason")
DECISIONS: Final = ("position", "time", "type", "task", "attempt", "agent", "outcome", "price_msat", "reason")
DAYS: Final = ("day", "account", "currency", "incoming", "outgoing", "fees", "net")
BALANCES: Final = (
    "account",
    "currency",
    "incoming",
    "outgoing",
    "fees",
    "net",
    "held_out",
    "held_in",
    "credit_limit",
    "available",
)
POSTED_MANY: Final = "transfer.posted_many"
POSTED: Final = ("transfer.posted", POSTED_MANY)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class _Fields(msgspec.Struct, frozen=True):
    """What the tables read of an event's fields; those of others are left out."""

    transfer: str = ""
    debit: str = ""
    credit: str = ""
    currency: str = ""
    amount: int = 0
    hold: str = ""
    reason: str = ""
    task: str = ""
    attempt: int = 0
    agent: str = ""
    winner: str = ""
    action: str = ""
    outcome: str = ""
    price_msat: int = 0
    postings: tuple["_Fields", ...] = ()


_decoder = msgspec.json.Decoder(_Fields)


def transfer_rows(events: Iterable[StoredEvent]) -> Iterator[Row]:
    """A row per event of the ledger that moves, reserves or releases money, or refuses to."""
    for event in events:
        for fields in _moves(event):
            yield _row(TRANSFERS, event, fields)


def _moves(event: StoredEvent) -> Iterator[_Fields]:
    """The transfers of an event, each with all fields: one that tells of many names what they share once."""
    fields = _decoder.decode(event.data)
    if event.type != POSTED_MANY:
        yield fields
    for one in fields.postings:
        yield msgspec.structs.replace(one, currency=fields.currency)


def decision_rows(events: Iterable[StoredEvent]) -> Iterator[Row]:
    """A row per closed auction, and per bid that an agent has learned from."""
    for event in events:
        fields = _decoder.decode(event.data)
        if event.type == "auction.closed":
            fields = msgspec.structs.replace(fields, agent=fields.winner, outcome="won" if fields.winner else "nobody")
        elif fields.action != "bid":
            continue
        yield _row(DECISIONS, event, fields)


def balance_rows(balances: Iterable[Balance]) -> Iterator[Row]:
    """A row per account and currency, as it stands now."""
    for one in balances:
        yield {name: getattr(one, name) for name in BALANCES}


class Days:
    """What came in and went out, by day (UTC), account and currency."""

    def __init__(self, account: str = "") -> None:
        self._account = account
        self._sums: dict[tuple[str, str, str], list[int]] = {}

    def add(self, events: Iterable[StoredEvent]) -> None:
        """Count transfers that were posted."""
        for event in events:
            if event.type not in POSTED:
                continue
            day = timestamp(event.time_us)[:10]
            for fields in _moves(event):
                self._add(day, fields.credit, fields.currency, (fields.amount, 0, 0))
                fee = fields.amount if fields.credit.startswith(FEES) else 0
                self._add(day, fields.debit, fields.currency, (0, fields.amount, fee))

    def _add(self, day: str, account: str, currency: str, amounts: tuple[int, int, int]) -> None:
        if self._account in ("", account):
            sums = self._sums.setdefault((day, account, currency), [0, 0, 0])
            for place, amount in enumerate(amounts):
                sums[place] += amount

    def rows(self) -> Iterator[Row]:
        """A row per day, account and currency, in that order."""
        for (day, account, currency), (incoming, outgoing, fees) in sorted(self._sums.items()):
            sums = (incoming, outgoing, fees, incoming - outgoing)
            yield dict(zip(DAYS, (day, account, currency, *sums), strict=True))


def head(format_: Format, columns: tuple[str, ...]) -> bytes:
    """What a table begins with."""
    return _csv_line(columns) if format_ == "csv" else b""


def lines(format_: Format, rows: Iterable[Row]) -> bytes:
    """The rows, a line each."""
    if format_ == "csv":
        return b"".join(_csv_line(tuple(row.values())) for row in rows)
    return b"".join(encode(row) + b"\n" for row in rows)


def _row(columns: tuple[str, ...], event: StoredEvent, fields: _Fields) -> Row:
    known: Row = {"position": event.position, "time": timestamp(event.time_us), "type": event.type}
    return {name: known[name] if name in known else getattr(fields, name) for name in columns}


def _csv_line(values: tuple[str | int, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_cell(value) for value in values])
    return text.getvalue().encode()


def _cell(value: str | int) -> str | int:
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value
