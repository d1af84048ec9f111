"""The tables beside the library's `stored_events` in a Postgres database, and the statements.

`position` is the library's `notification_id`, which we give: its own sequence would leave gaps.
Each row of `stores` also keeps the tail of its store: whoever holds that row for update is the one
that may write, and the row says behind what.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from domain.errors import BadValue
from domain.eventlog.lines import Tail
from domain.eventlog.port import CorruptLog, Recorded
from domain.eventlog.rows import opened_and_ended
from domain.seal import HASH_BYTES, Frontier

FORMAT: Final = 1
"""The one row of `log_format`."""

TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS lines (
        position bigint PRIMARY KEY,
        hash bytea NOT NULL,
        stream text NOT NULL,
        originator_id uuid NOT NULL,
        originator_version bigint NOT NULL
    )""",
    # Accounts and credentials are few among millions of request events: reading them must not
    # touch the requests.
    """
    CREATE INDEX IF NOT EXISTS lines_but_requests ON lines (position, stream)
    WHERE stream <> 'request'""",
    """
    CREATE TABLE IF NOT EXISTS open_requests (originator_id uuid PRIMARY KEY)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)""",
    # Every batch updates one row: it needs room beside itself, and soon.
    """
    CREATE TABLE IF NOT EXISTS stores (
        number integer PRIMARY KEY,
        store_id text NOT NULL UNIQUE,
        base bigint NOT NULL,
        size bigint NOT NULL DEFAULT 0,
        frontier bytea NOT NULL DEFAULT '',
        recorded_at text NOT NULL DEFAULT '',
        version bigint NOT NULL DEFAULT 0,
        ended boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
    """,
    "CREATE TABLE IF NOT EXISTS log_format (version integer NOT NULL)",
)

SELECT_STORES: Final = "SELECT store_id, base FROM stores ORDER BY number"
INSERT_STORE: Final = (
    "INSERT INTO stores (number, store_id, base, recorded_at)"
    " SELECT count(*) + 1, %s, %s, %s FROM stores"
)
END_STORE: Final = "UPDATE stores SET ended = true WHERE store_id = %s RETURNING size, recorded_at"

BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED;"
    "SELECT size, frontier, recorded_at, version, ended FROM stores WHERE number = {} FOR UPDATE"
)
"""Two statements that travel as one. The number of the store is put in, since that takes none."""
SELECT_HEAD: Final = "SELECT size FROM stores WHERE store_id = %s"
SELECT_CHECK: Final = """
    SELECT size, version, (SELECT max(position) FROM lines), base,
        (SELECT max(originator_version) FROM stored_events WHERE originator_id = %s::uuid)
    FROM stores WHERE store_id = %s"""

INSERT: Final = """
    WITH batch AS MATERIALIZED (
        SELECT originator_id, originator_version, topic, state, hash, %s::bigint + place AS position
        FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %b::bytea[], %b::bytea[])
            WITH ORDINALITY
            AS b(originator_id, originator_version, topic, state, hash, place)
    ), events AS (
        INSERT INTO stored_events
            (originator_id, originator_version, topic, state, notification_id)
        SELECT originator_id, originator_version, topic, state, position FROM batch
    ), placed AS (
        INSERT INTO lines (position, hash, stream, originator_id, originator_version)
        SELECT position, hash, split_part(topic, '.', 1), originator_id, originator_version
        FROM batch
    ), opened AS (
        INSERT INTO open_requests SELECT unnest(%s::uuid[])
    ), ended AS (
        DELETE FROM open_requests WHERE originator_id = ANY(%s::uuid[])
    )
    UPDATE stores SET size = %s, frontier = %b, recorded_at = %s, version = %s
    WHERE store_id = %s"""
"""All of a batch in one statement, so that it costs one answer of the server."""

_COLUMNS: Final = "SELECT l.position, l.hash, l.originator_id, l.originator_version, e.state FROM "
_LINES: Final = "lines l LEFT JOIN stored_events e ON e.notification_id = l.position "
_ALL: Final = "WHERE l.position > %s AND l.position <= %s "
_BY_PLACE: Final = "ORDER BY l.position LIMIT %s"

SELECT_AT: Final = _COLUMNS + _LINES + "WHERE l.position = ANY(%s::bigint[]) ORDER BY l.position"
SELECT_PAGE: Final = _COLUMNS + _LINES + _ALL + _BY_PLACE
SELECT_PAGE_OF: Final = _COLUMNS + _LINES + _ALL + "AND l.stream = ANY(%s::text[]) " + _BY_PLACE
SELECT_PAGE_BUT_REQUESTS: Final = (
    _COLUMNS
    + _LINES
    + _ALL
    + "AND l.stream = ANY(%s::text[]) AND l.stream <> 'request' "
    + _BY_PLACE
)
SELECT_STREAM: Final = (
    _COLUMNS + "stored_events e LEFT JOIN lines l ON l.position = e.notification_id"
    " WHERE e.originator_id = %s::uuid ORDER BY e.originator_version"
)
SELECT_KEPT: Final = "SELECT store_id, base, size, frontier FROM stores ORDER BY number"
SELECT_RAW: Final = (
    _COLUMNS.replace(" FROM ", ", l.stream, e.topic, e.originator_id, e.originator_version FROM ")
    + _LINES
    + _ALL
    + "ORDER BY l.position"
)
SELECT_STRAYS: Final = (
    "SELECT e.notification_id FROM stored_events e"
    " LEFT JOIN lines l ON l.position = e.notification_id"
    " WHERE l.position IS NULL ORDER BY e.notification_id LIMIT %s"
)
SELECT_BEHIND: Final = (
    "SELECT position FROM lines WHERE position > (SELECT max(base + size) FROM stores)"
    " ORDER BY position LIMIT %s"
)
SELECT_BROKEN_STREAMS: Final = (
    "SELECT originator_id, count(*), min(originator_version), max(originator_version)"
    " FROM stored_events GROUP BY originator_id"
    " HAVING min(originator_version) <> 1 OR max(originator_version) <> count(*) LIMIT %s"
)
SELECT_TAKEN: Final = (
    "SELECT e.originator_id, e.originator_version FROM stored_events e"
    " JOIN unnest(%s::uuid[], %s::bigint[]) AS k(id, version)"
    " ON e.originator_id = k.id AND e.originator_version = k.version"
)
SELECT_HASHES: Final = (
    "SELECT position, hash FROM lines WHERE position > %s AND position <= %s"
    " ORDER BY position LIMIT %s"
)


def streams_query(streams: Collection[str]) -> str:
    """A page of some streams, by position; unless requests are wanted it reads only the index."""
    return SELECT_PAGE_OF if "request" in streams else SELECT_PAGE_BUT_REQUESTS


def values_of(
    rows: Sequence[Recorded], *, store_id: str, base: int, tail: Tail
) -> tuple[object, ...]:
    """What INSERT takes. Arrays of plain words go as one text: the driver's lists cost more."""
    opened, ended = opened_and_ended(rows)
    both = {*opened} & {*ended}  # the parts of one statement do not see each other
    return (
        base + rows[0].seq - 1,
        array(row.originator_id.hex for row in rows),
        array(str(row.originator_version) for row in rows),
        array(row.topic for row in rows),
        [row.line for row in rows],
        [bytes.fromhex(row.hash) for row in rows],
        array(stream for stream in opened if stream not in both),
        array(stream for stream in ended if stream not in both),
        tail.frontier.size,
        b"".join(tail.frontier.subtrees),
        tail.recorded_at,
        tail.version,
        store_id,
    )


def array(words: Iterable[str]) -> str:
    """An array as Postgres reads it, of words without spaces, quotes, commas and braces."""
    return "{" + ",".join(words) + "}"


def frontier_of(size: int, nodes: bytes) -> Frontier:
    """The frontier that a row of `stores` keeps. Raises CorruptLog when it is none."""
    step = range(0, len(nodes), HASH_BYTES)
    try:
        return Frontier(size=size, subtrees=[nodes[at : at + HASH_BYTES] for at in step])
    except BadValue as error:
        raise CorruptLog("the tail that the store keeps is damaged") from error
