"""All SQL that is not a table's definition.

Each select names its way in: of the columns that are asked for, the one that leaves the fewest rows is matched by its
index, the others are marked with a unary plus, which keeps SQLite from choosing them. Several types without any other
column are merged from one short range of each, since a sort over all their rows would cost their number.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

Value = int | str | bytes | None

# Pragmas

WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged event survives a loss of power
    "PRAGMA cache_size = -65536",  # 64 MiB: the indexes' inner pages stay in memory at a million rows
    "PRAGMA wal_autocheckpoint = 0",  # errors of automatic checkpoints go unseen; ours are checked
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA secure_delete = ON",  # what was replaced is not left behind in the file
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA busy_timeout = 5000",
)
READER_PRAGMAS = (
    "PRAGMA query_only = ON",
    "PRAGMA cache_size = -8192",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA busy_timeout = 5000",
)
BUILDER_PRAGMAS = (
    "PRAGMA journal_mode = TRUNCATE",
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA busy_timeout = 5000",
)
WAL_COPY = "PRAGMA wal_checkpoint(PASSIVE)"
WAL_TRUNCATE = "PRAGMA wal_checkpoint(TRUNCATE)"
WAIT_NOT = "PRAGMA busy_timeout = 0"
WAIT = "PRAGMA busy_timeout = 5000"
APPLICATION_ID = "PRAGMA application_id"
VERSION = "PRAGMA user_version"
INTEGRITY = "PRAGMA integrity_check(1)"
COUNT_TABLES = "SELECT count(*) FROM sqlite_master"
DEFINITIONS = "SELECT type, name, sql FROM sqlite_master"

BEGIN_WRITE = "BEGIN IMMEDIATE"
BEGIN_READ = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"


def set_application_id(value: int) -> str:
    """Pragmas take no parameters."""
    return f"PRAGMA application_id = {value:d}"


def set_version(value: int) -> str:
    """Pragmas take no parameters."""
    return f"PRAGMA user_version = {value:d}"


def drop(table: str) -> str:
    """A table of ours."""
    return f"DROP TABLE {table}"


# Writing events

EVENT_COLUMNS = 16
ROWS_MAX = 1_000
"""Rows of one insert: 16,000 parameters of SQLite's 32,766; beyond it there is nothing to gain."""
_SIZES = (ROWS_MAX, 500, 250, 125, 64, 32)


def insert_size(rows: int) -> int:
    """How many of `rows` the next insert takes: few distinct sizes, so that their statements stay prepared."""
    return rows if rows <= _SIZES[-1] else next(size for size in _SIZES if size <= rows)


@lru_cache(maxsize=64)
def insert_events(rows: int) -> str:
    """One insert of several rows: a row at a time gives the interpreter lock away on each, and starves."""
    row = "(" + ",".join("?" * EVENT_COLUMNS) + ")"
    return (
        "INSERT INTO events (position, time_us, type, version, source, subject, task, agent, run, correlation, cause, "
        f"cursor, data, sealed, chain, hash) VALUES {','.join([row] * rows)}"
    )


@lru_cache(maxsize=64)
def add_to_rollup(rows: int) -> str:
    """Parameters per row: minute, type, events, first, last."""
    return (
        f"INSERT INTO rollup (minute, type, events, first, last) VALUES {','.join(['(?,?,?,?,?)'] * rows)} "
        "ON CONFLICT (minute, type) DO UPDATE SET events = events + excluded.events, "
        "first = min(first, excluded.first), last = max(last, excluded.last)"
    )


SET_CHAINS = "INSERT OR REPLACE INTO chains (chain, position, hash) VALUES (?,?,?), (?,?,?)"
INSERT_TYPE = "INSERT INTO types (name) VALUES (?) RETURNING id"
INSERT_SOURCE = "INSERT INTO sources (name) VALUES (?) RETURNING id"
INSERT_BLOB = "INSERT OR IGNORE INTO blobs (hash, content) VALUES (?, ?)"
INSERT_EPOCH = "INSERT INTO epochs (epoch, after, begun_us, hash) VALUES (?, ?, ?, ?)"
PUT_SEGMENT = "INSERT OR REPLACE INTO segments (first, content, hash) VALUES (?, ?, ?)"

# Reading events

TYPES = "SELECT id, name FROM types"
SOURCES = "SELECT id, name FROM sources"
SOURCE = "SELECT id FROM sources WHERE name = ?"
EPOCHS = "SELECT epoch, after, begun_us, hash FROM epochs ORDER BY epoch"
SEGMENTS = "SELECT content, hash FROM segments ORDER BY first"
HEAD = "SELECT coalesce(max(position), 0) FROM events"
COUNT = "SELECT count(*) FROM events"
CHAINS = "SELECT chain, position, hash FROM chains"
HASH_AT = "SELECT hash FROM events WHERE position = ? AND chain = ?"
ATTACH = "ATTACH DATABASE ? AS source"
DETACH = "DETACH DATABASE source"
COPY_KEPT = (
    "INSERT INTO events SELECT * FROM source.events WHERE chain = 1 ORDER BY position",
    "INSERT INTO types SELECT id, name FROM source.types WHERE id IN (SELECT type FROM events)",
    "INSERT INTO sources SELECT id, name FROM source.sources WHERE id IN (SELECT source FROM events)",
    "INSERT INTO chains SELECT chain, position, hash FROM source.chains WHERE chain = 1",
    "INSERT INTO rollup SELECT time_us / 60000000, type, count(*), min(position), max(position) FROM events "
    "GROUP BY 1, 2",
)
TEXT_PROGRESS = "SELECT position FROM progress"
SET_TEXT_PROGRESS = "UPDATE progress SET position = ?"
COPY_TEXT = (
    "INSERT INTO text (rowid, body) SELECT e.position, "
    "(SELECT group_concat(atom, ' ') FROM json_tree(CAST(e.data AS TEXT)) WHERE type = 'text') "
    "FROM source.events e WHERE e.position > ? AND e.position <= ?"
)
SEARCH = "SELECT rowid FROM text WHERE text MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
SOURCE_NEXT = (
    "SELECT max(position) FROM (SELECT position FROM source.events WHERE position > ? ORDER BY position LIMIT ?)"
)
BLOB = "SELECT content FROM blobs WHERE hash = ?"
BLOBS_AFTER = "SELECT id, hash, content FROM blobs WHERE id > ? ORDER BY id LIMIT ?"
COUNT_OF_TYPE = "SELECT coalesce(sum(events), 0) FROM rollup WHERE type = (SELECT id FROM types WHERE name = ?)"
COUNT_BY_TYPE = (
    "SELECT t.name, sum(r.events) FROM rollup r CROSS JOIN types t ON t.id = r.type WHERE r.minute >= ? GROUP BY t.id"
)
MINUTES = "SELECT min(minute), max(minute), sum(events) FROM rollup"
DENSITY_OF_MINUTES = (
    "SELECT (minute - ?1) / ?2 AS span, sum(events), min(first), max(last) FROM rollup GROUP BY span ORDER BY span"
)
SPAN_OF_EVENTS = "SELECT min(time_us), max(time_us) FROM events"
DENSITY_OF_EVENTS = (
    "SELECT (time_us - ?1) / ?2 AS span, count(*), min(position), max(position) FROM events GROUP BY span ORDER BY span"
)
POSITIONS_OF_MINUTES = "SELECT min(first), max(last) FROM rollup WHERE minute BETWEEN ? AND ?"
COUNT_OF_TASK = "SELECT count(*) FROM events WHERE task = ? AND task <> '' AND position BETWEEN ? AND ?"
ROLLUP_DIFFERENCES = """
    WITH recount AS (
        SELECT time_us / 60000000 AS minute, type, count(*) AS events, min(position) AS first, max(position) AS last
        FROM events GROUP BY 1, 2
    )
    SELECT count(*) FROM (
        SELECT * FROM (SELECT * FROM recount EXCEPT SELECT minute, type, events, first, last FROM rollup)
        UNION ALL
        SELECT * FROM (SELECT minute, type, events, first, last FROM rollup EXCEPT SELECT * FROM recount)
    )
"""

_ROW = (
    "SELECT e.position, e.time_us, t.name, e.version, s.name, e.subject, e.task, e.agent, e.run, e.correlation, "
    "e.cause, e.cursor, e.data, e.sealed, e.hash FROM events e "
    "CROSS JOIN types t ON t.id = e.type CROSS JOIN sources s ON s.id = e.source"
)
ROWS_FROM = f"{_ROW} WHERE e.position BETWEEN ? AND ? ORDER BY e.position"
ROWS_WITH_CHAIN_AFTER = f"{_ROW.replace('e.hash', 'e.hash, e.chain')} WHERE e.position > ? AND e.position <= ? " + (
    "ORDER BY e.position LIMIT ?"
)


class Selection(msgspec.Struct, frozen=True):
    """Which events. Empty strings match all, and so does `types` or `source` as None; bounds are exclusive."""

    limit: int
    is_newest_first: bool = False
    types: tuple[int, ...] | None = None
    source: int | None = None
    task: str = ""
    agent: str = ""
    run: str = ""
    correlation: str = ""
    after: int = 0
    before: int = 0
    since_us: int = 0
    until_us: int = 0


def select_events(selection: Selection) -> tuple[str, list[Value]]:
    """The statement and its parameters; its rows are a StoredEvent's fields in order."""
    terms, parameters = _terms(selection)
    order = "DESC" if selection.is_newest_first else "ASC"
    if selection.types is not None and len(selection.types) > 1 and not _has_way_in(selection):
        return _merged(selection.types, terms, parameters, order, selection.limit)
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    return f"{_ROW}{where} ORDER BY e.position {order} LIMIT ?", [*parameters, selection.limit]


def _has_way_in(selection: Selection) -> bool:
    texts = (selection.task, selection.run, selection.correlation, selection.agent)
    return any(texts) or selection.source is not None


def _terms(selection: Selection) -> tuple[list[str], list[Value]]:
    """The conditions; the first column that is asked for is the way in, the rest only filter."""
    terms: list[str] = []
    parameters: list[Value] = []

    def add(term: str, *values: Value) -> None:
        terms.append(term)
        parameters.extend(values)

    for column, text in (
        ("task", selection.task),
        ("run", selection.run),
        ("correlation", selection.correlation),
        ("agent", selection.agent),
    ):
        if text and not terms:
            add(f"e.{column} = ? AND e.{column} <> ''", text)  # the second half makes the partial index usable
        elif text:
            add(f"+e.{column} = ?", text)
    if selection.source is not None:
        add("+e.source = ?" if terms else "e.source = ?", selection.source)
    if selection.types is not None and (terms or len(selection.types) <= 1):
        plus = "+" if terms else ""
        add(f"{plus}e.type IN ({','.join('?' * len(selection.types))})", *selection.types)
    if selection.after:
        add("e.position > ?", selection.after)
    if selection.before:
        add("e.position < ?", selection.before)
    if selection.since_us:
        add("+e.time_us >= ?", selection.since_us)
    if selection.until_us:
        add("+e.time_us < ?", selection.until_us)
    return terms, parameters


def _merged(
    types: Sequence[int], terms: list[str], parameters: list[Value], order: str, limit: int
) -> tuple[str, list[Value]]:
    where = " AND ".join(["e.type = ?", *terms])
    branch = f"SELECT * FROM (SELECT e.position AS p FROM events e WHERE {where} ORDER BY e.position {order} LIMIT ?)"
    values: list[Value] = []
    for type_ in types:
        values.extend((type_, *parameters, limit))
    positions = f"SELECT p FROM ({' UNION ALL '.join([branch] * len(types))}) ORDER BY p {order} LIMIT ?"
    return f"{_ROW} WHERE e.position IN ({positions}) ORDER BY e.position {order}", [*values, limit]


# Checkpoints

INSERT_CHECKPOINT = "INSERT INTO checkpoints (name, manifest, hash) VALUES (?, ?, ?)"
CHECKPOINTS = "SELECT name, manifest, hash FROM checkpoints ORDER BY id DESC"
CHECKPOINT = "SELECT name, manifest, hash FROM checkpoints WHERE name = ?"
INSERT_CHUNK = "INSERT INTO chunks (hash, content) VALUES (?, ?)"
CHUNK_SIZE = "SELECT length(content) FROM chunks WHERE hash = ?"
CHUNK = "SELECT content FROM chunks WHERE hash = ?"
DELETE_CHECKPOINT = "DELETE FROM checkpoints WHERE name = ?"
DELETE_CHUNK = "DELETE FROM chunks WHERE hash = ?"
CHUNK_HASHES = "SELECT hash FROM chunks"
PINS = "SELECT name FROM pins"
PIN = "INSERT OR IGNORE INTO pins (name) VALUES (?)"
UNPIN = "DELETE FROM pins WHERE name = ?"
DELETE_STALE_PINS = "DELETE FROM pins WHERE name NOT IN (SELECT name FROM checkpoints)"
DROP_USES = "DROP TABLE uses"
COPY_INTO = "VACUUM INTO ?"
