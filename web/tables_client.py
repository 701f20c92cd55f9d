"""The part of the Python SDK for tables: balances, days, transfers and decisions, as CSV or JSON Lines.

Rules: a table comes in pieces, so that its length costs no memory; a refusal raises `RequestFailed`.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final, Literal

Table = Literal["balances", "days", "transfers", "decisions"]
TableFormat = Literal["csv", "jsonl"]

PATHS: Final[dict[Table, str]] = {
    "balances": "/api/ledger/balances",
    "days": "/api/ledger/days",
    "transfers": "/api/ledger/export",
    "decisions": "/api/market/export",
}

Pieces = Callable[[str, Mapping[str, str]], AsyncGenerator[bytes, None]]
"""How the client reads a body piece by piece."""


class TablesClient:
    """What happened, as tables. Made by `AgoraClient.tables`."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def read(self, table: Table, format_: TableFormat = "csv", *, account: str = "") -> AsyncGenerator[bytes, None]:
        """A table's text, in pieces; days can be those of one account."""
        return self._pieces(PATHS[table], {"format": format_, **({"account": account} if account else {})})
