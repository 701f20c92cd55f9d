"""The SQL of the journal and of checkpoints. Tables stand in `schema`, counts in `count_queries`.

Each select names its way in: of the columns that are asked for, the one that leaves the fewest rows is matched by its
index, the others are marked with a unary plus, which keeps SQLite from choosing them. Several types without any other
column are merged from one short range of each, since a sort over all their rows would cost their number.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

Value = int | str | bytes | bytearray | None

# Pragmas

WAL_BYTES = 4 * 1024 * 1024
WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged event survives a loss of power
    "PRAGMA cache_size = -65536",  # 64 MiB: the indexes' inner pages stay in memory at a million rows
    "PRAGMA wal_autocheckpoint = 0",  # errors of automatic checkpoints go unseen; ours are checked
    f"PRAGMA journal_size_limit = {WAL_BYTES}",  # to which a log is cut that outgrew it and begins anew
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
INDEXER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # its end may be lost with the power, and is made again; what is left is whole
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA journal_size_limit = {WAL_BYTES}",
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
ROWS_MAX = 400
"""Rows of one insert. Its parameters are bound in one go, in which the loop waits: half a millisecond. Fewer rows would
cost the writer more turns at the interpreter, for which it waits while the loop is busy."""
_ROWS_STEP = 20


def insert_size(rows: int) -> int:
    """How many of `rows` the next insert takes: few distinct sizes, so that their statements stay prepared, and at most
    two inserts for what is over."""
    if rows >= ROWS_MAX:
        return ROWS_MAX
    return rows - rows % _ROWS_STEP if rows > _ROWS_STEP else rows


@lru_cache(maxsize=64)
def insert_events(rows: int) -> str:
    """One insert of several rows: a row at a time gives the interpreter lock away on each, and starves."""
    row = f"({','.join('?' * 13)}, nullif(?, x''), ?, ?)"  # sealed fields are empty where there are none
    return (
        "INSERT INTO events (position, time_us, type, version, source, subject, task, agent, run, correlation, cause, "
        f"cursor, data, sealed, chain, hash) VALUES {','.join([row] * rows)}"
    )


ROLL_UP = """
    INSERT INTO rollup
    SELECT time_us / 60000000, type, count(*), min(position), max(position) FROM events
    WHERE position BETWEEN ? AND ? GROUP BY 1, 2
    ON CONFLICT (minute, type) DO UPDATE SET events = events + excluded.events,
    first = min(first, excluded.first), last = max(last, excluded.last)
"""
SET_CHAINS = "INSERT OR REPLACE INTO chains (chain, position, hash) VALUES (?,?,?), (?,?,?)"
PUT_TYPE = "INSERT INTO types (id, name) VALUES (?, ?)"
PUT_SOURCE = "INSERT INTO sources (id, name) VALUES (?, ?)"
PUT_CHAIN = "INSERT INTO chains (chain, position, hash) VALUES (?, ?, ?)"
INSERT_BLOB = "INSERT OR IGNORE INTO blobs (hash, content) VALUES (?, ?)"
INSERT_EPOCH = "INSERT INTO epochs (epoch, after, begun_us, hash) VALUES (?, ?, ?, ?)"
PUT_SEGMENT = "INSERT OR REPLACE INTO segments (first, content, hash) VALUES (?, ?, ?)"

# Reading events

TYPES = "SELECT id, name FROM types"
SOURCES = "SELECT id, name FROM sources"
NAMES_OF_TYPES = "SELECT json_group_object(id, name) FROM types"
NAMES_OF_SOURCES = "SELECT json_group_object(id, name) FROM sources"
TYPE = "SELECT id FROM types WHERE name = ?"
SOURCE = "SELECT id FROM sources WHERE name = ?"
EPOCHS = "SELECT epoch, after, begun_us, hash FROM epochs ORDER BY epoch"
SEGMENTS = "SELECT content, hash FROM segments ORDER BY first"
HEAD = "SELECT coalesce(max(position), 0) FROM events"
FIRST = "SELECT coalesce(min(position), 0) FROM events"
COUNT = "SELECT count(*) FROM events"
CHAINS = "SELECT chain, position, hash FROM chains"
HASH_AT = "SELECT hash FROM events WHERE position = ? AND chain = ?"
ATTACH = "ATTACH DATABASE ? AS source"
DETACH = "DETACH DATABASE source"
ROLL_UP_ALL = (
    "INSERT INTO rollup SELECT time_us / 60000000, type, count(*), min(position), max(position) FROM events "
    "GROUP BY 1, 2"
)
COPY_KEPT = (
    "INSERT INTO events SELECT * FROM source.events WHERE chain = 1 ORDER BY position",
    "INSERT INTO types SELECT id, name FROM source.types WHERE id IN (SELECT type FROM events)",
    "INSERT INTO sources SELECT id, name FROM source.sources WHERE id IN (SELECT source FROM events)",
    "INSERT INTO chains SELECT chain, position, hash FROM source.chains WHERE chain = 1",
    ROLL_UP_ALL,
)
TEXT_PROGRESS = "SELECT position FROM progress"
SOURCE_HEAD = "SELECT coalesce(max(position), 0) FROM source.events"
SET_TEXT_PROGRESS = "UPDATE progress SET position = ?"
_TEXT = "CAST(CASE WHEN substr(e.data, 1, 6) = CAST('{\"~k\":' AS BLOB) THEN opened(e.data) ELSE e.data END AS TEXT)"
"""What an event says; personal text is opened by a function of ours, where its key is not destroyed."""
_WHOLE_TEXT = f"replace({_TEXT}, '\\u0000', '\\u0020')"
"""SQLite's JSON ends a text at its first NUL, and what follows would not be found."""
COPY_TEXT = (
    "INSERT INTO text (rowid, body) SELECT e.position, "
    f"(SELECT group_concat(atom, ' ') FROM json_tree({_WHOLE_TEXT}) WHERE type = 'text') "
    "FROM source.events e WHERE e.position > ? AND e.position <= ?"
)
SEARCH = "SELECT rowid FROM text WHERE text MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"
SOURCE_NEXT = (
    "SELECT max(position) FROM (SELECT position FROM source.events WHERE position > ? ORDER BY position LIMIT ?)"
)
BLOB = "SELECT content FROM blobs WHERE hash = ?"
KEYS = "SELECT keys, hash FROM blocks WHERE id = ?"
ALL_KEYS = "SELECT id, keys, hash FROM blocks ORDER BY id"
LAST_KEYS = "SELECT coalesce(max(id), 0) FROM blocks"
PUT_KEYS = "INSERT OR REPLACE INTO blocks (id, keys, hash) VALUES (?, ?, ?)"
BLOB_HASHES = "SELECT hash FROM blobs"
BLOB_SIZES = "SELECT hash, length(content) FROM blobs"
DELETE_BLOB = "DELETE FROM blobs WHERE hash = ?"
BLOBS_AFTER = "SELECT id, hash, content FROM blobs WHERE id > ? ORDER BY id LIMIT ?"
MINUTES_OF_WINDOW = """
    SELECT
        min(first) FILTER (WHERE minute = ?1),
        max(last) FILTER (WHERE minute = ?1),
        min(first) FILTER (WHERE minute > ?1),
        min(first) FILTER (WHERE minute = ?2),
        max(last) FILTER (WHERE minute = ?2),
        max(last) FILTER (WHERE minute < ?2)
    FROM rollup WHERE minute BETWEEN ?1 AND ?2
"""
TIMES_BLOCK = 256
"""Positions whose earliest and latest time are remembered together."""
TIMES_OF_BLOCKS = (
    "SELECT json_group_array(json_array(block, earliest, latest)) FROM ("
    f"SELECT position / {TIMES_BLOCK} AS block, min(time_us) AS earliest, max(time_us) AS latest FROM events "
    "WHERE position BETWEEN ? AND ? GROUP BY block)"
)
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
    "SELECT e.position, e.time_us, t.name AS type, e.version, s.name AS source, e.subject, e.task, e.agent, e.run, "
    "e.correlation, e.cause, e.cursor, e.data, e.sealed, e.hash FROM events e "
    "CROSS JOIN types t ON t.id = e.type CROSS JOIN sources s ON s.id = e.source"
)
_IN_COLUMNS = (
    "SELECT e.position, e.time_us, e.type, e.version, e.source, e.subject, e.task, e.agent, e.run, e.correlation, "
    "e.cause, e.cursor, e.data, e.sealed, e.hash FROM events e"
)
_RECORDED = (
    "SELECT e.position, e.time_us, e.type, e.version, e.source, e.cause, e.correlation, e.cursor, e.data, e.sealed "
    "FROM events e"
)
"""What an actor needs to see an event; names by their ids, since a million look-ups of names cost half a second."""
_OWN = "FROM events WHERE source = ? AND position > ? ORDER BY position LIMIT ?"
OWN_EVENTS = (
    "SELECT count(*), max(position), max(cursor), "
    "'[[' || group_concat(type) || '],[' || group_concat(version) || '],[' || "
    "group_concat(length(data)) || '],[' || group_concat(coalesce(length(sealed), -1)) || ']]', "
    "CAST(group_concat(data, '') AS BLOB), CAST(group_concat(sealed, '') AS BLOB) "
    f"FROM (SELECT position, type, version, cursor, data, sealed {_OWN})"
)
"""One row, of nothing where there are no more: a cursor never falls, so the highest is that of the last event."""
OWN_POSITION = f"SELECT position {_OWN} OFFSET ?"
OF_TYPE = (
    "SELECT position, version, data, sealed FROM events WHERE type = (SELECT id FROM types WHERE name = ?) "
    "ORDER BY position"
)
DATA_AFTER = "SELECT data FROM events WHERE position > ?"
ROWS_FROM = f"{_ROW} WHERE e.position BETWEEN ? AND ? ORDER BY e.position"
HASHES_BETWEEN = "SELECT hash FROM events WHERE position BETWEEN ? AND ? ORDER BY position"
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
    is_own_run: bool = False
    correlation: str = ""
    after: int = 0
    before: int = 0
    since_us: int = 0
    until_us: int = 0


def select_events(selection: Selection, row: str = _ROW) -> tuple[str, list[Value]]:
    """The statement and its parameters; its rows are a StoredEvent's fields in order."""
    terms, parameters = _terms(selection)
    order = "DESC" if selection.is_newest_first else "ASC"
    if selection.types is not None and len(selection.types) > 1 and not _has_way_in(selection):
        return _merged(row, selection.types, terms, parameters, selection)
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    return f"{row}{where} ORDER BY e.position {order} LIMIT ?", [*parameters, selection.limit]


_NUMBERS = (
    *("position", "time_us", "type", "version", "source", "cause", "cursor"),
    *("length(data)", "coalesce(length(sealed), -1)"),
)
_TEXTS = ("subject", "task", "agent", "run", "correlation")
_NUMBERS_AS_JSON = " || '],[' || ".join(f"group_concat({name})" for name in _NUMBERS)
_TEXTS_AS_JSON = " || ',' || ".join(f"json_group_array({name})" for name in _TEXTS)


def select_in_columns(selection: Selection) -> tuple[str, list[Value]]:
    """The statement and its parameters; its one row is what `columns.events_of` takes, and empty where nothing is."""
    rows, parameters = select_events(selection, _IN_COLUMNS)
    return (
        f"SELECT '[[' || {_NUMBERS_AS_JSON} || ']]', '[' || {_TEXTS_AS_JSON} || ']', "
        "CAST(group_concat(data, '') AS BLOB), CAST(group_concat(sealed, '') AS BLOB), group_concat(hex(hash), '') "
        f"FROM ({rows})",
        parameters,
    )


def select_recorded(selection: Selection) -> tuple[str, list[Value]]:
    """The same of what actors see of events: place, ids of type and source, and the fields."""
    return select_events(selection, _RECORDED)


def _has_way_in(selection: Selection) -> bool:
    run = "" if selection.is_own_run else selection.run
    texts = (selection.task, run, selection.correlation, selection.agent)
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
        ("run", "" if selection.is_own_run else selection.run),
        ("correlation", selection.correlation),
        ("agent", selection.agent),
    ):
        if text and not terms:
            add(f"e.{column} = ? AND e.{column} <> ''", text)  # the second half makes the partial index usable
        elif text:
            add(f"+e.{column} = ?", text)
    if selection.is_own_run:
        # Nearly all events match, so it is no way in.
        terms.append("+e.run IN ('', ?)")
        parameters.append(selection.run)
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
    row: str, types: Sequence[int], terms: list[str], parameters: list[Value], selection: Selection
) -> tuple[str, list[Value]]:
    order, limit = "DESC" if selection.is_newest_first else "ASC", selection.limit
    where = " AND ".join(["e.type = ?", *terms])
    branch = f"SELECT * FROM (SELECT e.position AS p FROM events e WHERE {where} ORDER BY e.position {order} LIMIT ?)"
    values: list[Value] = []
    for type_ in types:
        values.extend((type_, *parameters, limit))
    positions = f"SELECT p FROM ({' UNION ALL '.join([branch] * len(types))}) ORDER BY p {order} LIMIT ?"
    return f"{row} WHERE e.position IN ({positions}) ORDER BY e.position {order}", [*values, limit]


# Checkpoints

INSERT_CHECKPOINT = "INSERT INTO checkpoints (name, manifest, hash) VALUES (?, ?, ?)"
CHECKPOINTS = "SELECT name, manifest, hash FROM checkpoints ORDER BY id DESC"
CHECKPOINT = "SELECT name, manifest, hash FROM checkpoints WHERE name = ?"
INSERT_CHUNK = "INSERT INTO chunks (hash, content) VALUES (?, ?)"
CHUNKS_INSERTED = 16
"""At once: one row after another, a busy loop takes the interpreter at each."""
INSERT_CHUNKS = INSERT_CHUNK + ", (?, ?)" * (CHUNKS_INSERTED - 1)
CHECKPOINT_NAMES = "SELECT name FROM checkpoints ORDER BY id DESC"
CHUNKS_LOOKED_UP = 64
"""At once; a hash that is asked for twice is found once."""
CHUNK_SIZES = f"SELECT hash, length(content) FROM chunks WHERE hash IN ({','.join('?' * CHUNKS_LOOKED_UP)})"
CHUNK = "SELECT content FROM chunks WHERE hash = ?"
DELETE_CHECKPOINT = "DELETE FROM checkpoints WHERE name = ?"
DELETE_CHUNKS = f"DELETE FROM chunks WHERE hash IN ({','.join('?' * CHUNKS_LOOKED_UP)})"
CHUNK_HASHES = "SELECT hash FROM chunks"
PINS = "SELECT name FROM pins"
PIN = "INSERT OR IGNORE INTO pins (name) VALUES (?)"
UNPIN = "DELETE FROM pins WHERE name = ?"
DELETE_STALE_PINS = "DELETE FROM pins WHERE name NOT IN (SELECT name FROM checkpoints)"
DROP_USES = "DROP TABLE uses"
COPY_INTO = "VACUUM INTO ?"

# The completion log

INTEGER_MAX = 2**63 - 1
COMMIT_WAITING = "PRAGMA synchronous = FULL"
COMMIT_WITHOUT_WAITING = "PRAGMA synchronous = NORMAL"  # the log may lose its last moments; its file stays whole
PUT_TRANSCRIPT = (
    "INSERT OR REPLACE INTO transcripts (completion, asked_us, agent, task, size, summary, content) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
TRANSCRIPT = "SELECT content FROM transcripts WHERE completion = ?"
TRANSCRIPTS_AFTER = (
    "SELECT asked_us, completion, agent, task, size, summary, content FROM transcripts "
    "WHERE (asked_us, completion) > (?, ?) "
    "ORDER BY asked_us, completion LIMIT ?"
)
TRANSCRIPTS_OUT_OF_ORDER = (
    "SELECT count(*) FROM transcripts WHERE typeof(asked_us) <> 'integer' OR typeof(completion) <> 'text'"
)
TRANSCRIPTS_SIZE = "SELECT coalesce(sum(size), 0) FROM transcripts"
DROP_TRANSCRIPTS = (
    "DELETE FROM transcripts WHERE completion IN "
    "(SELECT completion FROM transcripts WHERE asked_us < ? ORDER BY asked_us LIMIT ?)"
)
DROP_OLDEST_TRANSCRIPTS = (
    "DELETE FROM transcripts WHERE completion IN (SELECT completion FROM ("
    "SELECT completion, sum(size) OVER (ORDER BY asked_us, completion) - size AS before FROM transcripts) "
    "WHERE before < ? ORDER BY before LIMIT ?)"
)

FORGET_TRANSCRIPTS = "DELETE FROM transcripts WHERE ?1 <> '' AND (completion = ?1 OR task = ?1 OR agent = ?1)"


def transcripts(*, by_agent: bool, by_task: bool) -> str:
    """Summaries before a time, newest first; a task is rarer than an agent, so its index leads."""
    where = "asked_us < ?"
    if by_agent:
        where += " AND +agent = ?" if by_task else " AND agent = ?"
    if by_task:
        where += " AND task = ? AND task <> ''"
    return f"SELECT summary FROM transcripts WHERE {where} ORDER BY asked_us DESC LIMIT ?"
