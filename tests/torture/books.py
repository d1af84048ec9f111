"""What was recorded, read past the program: the store, the topic and the tables, line by line."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.e2e.plan import Json

LINES_QUERY: Final = (
    "SELECT store_id, seq, toString(event_id), lower(hex(hash)) FROM $db.log_lines FINAL"
)
FEES_QUERY: Final = (
    "SELECT account_id, toString(sum(sign * fee_usd)), sum(sign) FROM $db.request_lines FINAL"
    " GROUP BY account_id"
)


class Entry(NamedTuple):
    """One event, in one of the books."""

    store_id: str
    seq: int
    event_id: str
    hash: str


@dataclass
class Books:
    """The three books; `topic` is None where nothing is distributed."""

    store: list[Entry]
    events: list[Json]
    """The events of the store, in order."""
    tables: list[Entry]
    topic: list[Entry] | None = None
    fees: dict[str, str] = field(default_factory=dict)
    """Account → sum of fees in the tables."""
    dead_letters: int = 0
    conflicts: int = 0

    def requests(self) -> dict[str, list[Json]]:
        """Name of a call → its events, by version. A name twice is two lists."""
        streams: dict[str, list[Json]] = {}
        for event in self.events:
            if event["topic"].startswith("request."):
                streams.setdefault(event["originator_id"], []).append(event)
        for events in streams.values():
            events.sort(key=lambda event: int(event["originator_version"]))
        return streams

    def invoices(self) -> list[Json]:
        """The data of every invoice that was issued, in the order of issue."""
        return [event for event in self.events if event["topic"] == "invoice.issued"]


def entry_of(line: bytes) -> tuple[Entry, Json]:
    """A line of the log, and its hash reckoned anew."""
    event = json.loads(line)
    digest = hashlib.sha256(b"\0" + line).hexdigest()
    return Entry(event["store_id"], event["seq"], event["event_id"], digest), event


def read_sqlite(path: Path) -> tuple[list[Entry], list[Json]]:
    """A log in a SQLite file. The stored hash must be that of the line."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT l.hash, e.state FROM lines l JOIN stored_events e ON e.rowid = l.position"
            " ORDER BY l.position"
        ).fetchall()
        (stored,) = connection.execute("SELECT count(*) FROM stored_events").fetchone()
    finally:
        connection.close()
    assert len(rows) == stored, "an event has no line in the log"
    return read_lines(rows)


def read_lines(rows: Iterable[tuple[bytes, bytes]]) -> tuple[list[Entry], list[Json]]:
    """(hash, line) in the order of the log."""
    entries, events = [], []
    for digest, line in rows:
        entry, event = entry_of(bytes(line))
        assert bytes(digest).hex() == entry.hash, f"{entry.store_id} {entry.seq}: another hash"
        entries.append(entry)
        events.append(event)
    return entries, events


_IN_FORCE: Final = (
    "SELECT max(generation) FROM (SELECT generation, argMax(state, step) AS s"
    " FROM keytoll.generations GROUP BY generation) WHERE s = 'in_force'"
)
_COUNTS: Final = (
    "SELECT (SELECT count() FROM (SELECT max(resolved) AS r FROM $db.dead_letters"
    " GROUP BY store_id, seq, hash) WHERE r = 0), (SELECT count() FROM $db.conflicts FINAL)"
)


def read_tables(query: Query) -> tuple[list[Entry], dict[str, str], int, int]:
    """(lines, fees by account, open dead letters, conflicts) of the tables in force."""
    database = f"keytoll_g{query(_IN_FORCE)[0][0]}"
    lines = [
        Entry(str(row[0]), int(str(row[1])), str(row[2]), str(row[3]))
        for row in query(LINES_QUERY.replace("$db", database))
    ]
    fees = {str(r[0]): str(r[1]) for r in query(FEES_QUERY.replace("$db", database))}
    [[dead, conflicts]] = query(_COUNTS.replace("$db", database))
    return lines, fees, int(str(dead)), int(str(conflicts))


class Query:
    """Asks a ClickHouse."""

    def __call__(self, text: str) -> list[list[object]]:
        raise NotImplementedError


class EmbeddedQuery(Query):
    """The engine over a folder, in a process of its own: nobody else may have the folder open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, text: str) -> list[list[object]]:
        code = (
            "import sys, chdb.session as s\n"
            "found = s.Session(sys.argv[1]).query(sys.argv[2], 'JSONCompact')\n"
            "sys.stdout.write(str(found))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(self._folder), text],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows: list[list[object]] = json.loads(done.stdout)["data"]
        return rows


class ServerQuery(Query):
    """A ClickHouse server."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def __call__(self, text: str) -> list[list[object]]:
        import clickhouse_connect  # noqa: PLC0415

        client = clickhouse_connect.get_client(dsn=self._dsn)
        try:
            return [list(row) for row in client.query(text).result_rows]
        finally:
            client.close()
