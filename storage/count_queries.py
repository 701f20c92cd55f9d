"""The SQL of what is counted: over the rollup where that says enough, over the rows where it does not."""

COUNT_OF_TYPE = (
    "SELECT coalesce(sum(events), 0), (SELECT coalesce(max(position), 0) FROM events) FROM rollup "
    "WHERE type = (SELECT id FROM types WHERE name = ?)"
)
"""With the last position, of the same moment."""
COUNT_BY_TYPE = (
    "SELECT t.name, sum(r.events) FROM rollup r CROSS JOIN types t ON t.id = r.type WHERE r.minute >= ? GROUP BY t.id"
)
COUNT_OF_TASK = "SELECT count(*) FROM events WHERE task = ? AND task <> '' AND position BETWEEN ? AND ?"
MINUTES = "SELECT min(minute), max(minute), sum(events) FROM rollup"
DENSITY_OF_MINUTES = (
    "SELECT (minute - ?1) / ?2 AS span, sum(events), min(first), max(last) FROM rollup GROUP BY span ORDER BY span"
)
SPAN_OF_EVENTS = "SELECT min(time_us), max(time_us) FROM events"
DENSITY_OF_EVENTS = (
    "SELECT (time_us - ?1) / ?2 AS span, count(*), min(position), max(position) FROM events GROUP BY span ORDER BY span"
)
_ATTEMPT = """CAST(substr({0}.data, nullif(instr({0}.data, CAST('"attempt":' AS BLOB)), 0) + 10, 20) AS INTEGER)"""
"""Of a step, NULL where it has none. Within a text the quotes are escaped, so what is found is the field; to read the
whole event as JSON costs five times as much."""
SUMMARY = f"""
    WITH recent AS MATERIALIZED (
        SELECT type, sum(events) AS events, min(first) AS first FROM rollup WHERE minute >= ?1 GROUP BY type
    ), ended AS (
        SELECT e.position AS last, e.task, {_ATTEMPT.format("e")} AS attempt FROM events e
        WHERE e.type = (SELECT id FROM types WHERE name = ?2) AND +e.time_us >= ?1 * 60000000
        AND e.position >= (SELECT r.first FROM recent r WHERE r.type = (SELECT id FROM types WHERE name = ?2))
        ORDER BY e.position DESC LIMIT ?4
    ), begun AS MATERIALIZED (
        SELECT task, attempt, last, iif(attempt IS NULL, NULL, coalesce((
            SELECT s.position FROM events s
            WHERE s.task = ended.task AND s.task <> '' AND s.position < ended.last AND s.position > ended.last - ?5
            AND +s.type = (SELECT id FROM types WHERE name = ?3)
            AND {_ATTEMPT.format("s")} = ended.attempt
            ORDER BY s.position LIMIT 1
        ), last)) AS first FROM ended
    ), steps AS (
        SELECT task, attempt, first, last, (
            SELECT count(*) FROM events c
            WHERE c.task = begun.task AND c.task <> '' AND c.position BETWEEN begun.first AND begun.last
        ) AS events FROM begun ORDER BY last DESC
    )
    SELECT
        (SELECT json_group_object(t.name, r.events) FROM recent r CROSS JOIN types t ON t.id = r.type),
        (SELECT json_group_array(json_array(task, attempt, first, last, events)) FROM steps)
"""
"""Events by type since a minute, and those of each step from the first start of its attempt to its end: in one row, so
that the interpreter is waited for once."""
