"""How a stored row becomes the event that it holds, and how a frontier is kept, in any database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import orjson

from domain.eventlog.port import CorruptLog, Recorded
from domain.events.codec import UnreadableEvent, read_line
from domain.events.requests import ROUTED_VERSION, TERMINAL_VERSION
from domain.seal import Frontier, leaf_hash

Row = tuple[object, object, object, object, object]
"""Position, hash, stream (32 hex digits), version, line. None: that part of it is missing."""


def recorded(row: Row, bases: Mapping[str, int]) -> Recorded:
    """A row as the line it holds; raises CorruptLog unless every column agrees with the line."""
    position, digest, stream, held_version, line = row
    if not isinstance(position, int):
        raise CorruptLog("an event has no line in the log")
    if line is None:
        raise CorruptLog(f"the event of seq {_seq(position, bases)} is missing")
    if type(line) is not bytes or type(digest) is not bytes or leaf_hash(line) != digest:
        raise CorruptLog(f"the bytes of seq {_seq(position, bases)} are not those that were hashed")
    try:
        fields = read_line(line)
    except UnreadableEvent as error:
        raise CorruptLog(f"seq {_seq(position, bases)}: {error}") from error
    store_id, seq, version = fields["store_id"], fields["seq"], fields["originator_version"]
    originator_id = UUID(fields["originator_id"])
    if (position, stream, held_version) != (
        bases.get(store_id, -1) + seq,
        originator_id.hex,
        version,
    ):
        raise CorruptLog(f"seq {_seq(position, bases)} is not where its line says that it is")
    return Recorded(
        store_id,
        seq,
        digest.hex(),
        line,
        originator_id,
        version,
        fields["topic"],
        fields["account_id"],
        fields["recorded_at"],
    )


def check_dense(rows: Sequence[Row], *, after: int, base: int) -> None:
    """Raise CorruptLog, naming the seq, unless each row follows the one before."""
    for expected, row in enumerate(rows, start=base + after + 1):
        if row[0] != expected:
            raise CorruptLog(f"seq {expected - base} is missing")


def opened_and_ended(rows: Sequence[Recorded]) -> tuple[list[str], list[str]]:
    """Requests that a batch routes and those that it settles; a request may be in both."""
    opened: list[str] = []
    ended: list[str] = []
    for row in rows:
        if row.topic.startswith("request."):
            if row.originator_version == ROUTED_VERSION:
                opened.append(row.originator_id.hex)
            elif row.originator_version == TERMINAL_VERSION:
                ended.append(row.originator_id.hex)
    return opened, ended


def frontier_text(frontier: Frontier) -> str:
    """A frontier as the `stores` table keeps it."""
    subtrees = [node.hex() for node in frontier.subtrees]
    return orjson.dumps({"size": frontier.size, "subtrees": subtrees}).decode()


def frontier_of(text: str | None) -> Frontier:
    """The inverse of `frontier_text`; nothing kept is the empty frontier."""
    if text is None:
        return Frontier()
    fields = orjson.loads(text)
    return Frontier(size=fields["size"], subtrees=map(bytes.fromhex, fields["subtrees"]))


def _seq(position: int, bases: Mapping[str, int]) -> int:
    return position - max((base for base in bases.values() if base < position), default=0)
