"""A stored event as a CloudEvents 1.0 record of Kafka, binary mode, and what such a record says.

The value is the stored line, bytes as they are, so the hash holds; the attributes are headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

from domain.eventlog.port import Recorded
from domain.ids import event_id_text

Header = tuple[str, bytes]

_SPECVERSION: Final = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Final = ("content-type", b"application/json")


class Attributes(NamedTuple):
    """What the headers of a record say of its place in the log; None where nothing readable."""

    store_id: str | None
    seq: int | None
    hash: str | None


def key_of(event: Recorded) -> bytes:
    """What decides the partition: the account, or the store where there is none."""
    return (event.account_id or event.store_id).encode()


def headers_of(event: Recorded) -> list[Header]:
    """The context attributes. Those of our own are `version`, `seq` and `hash`."""
    return [
        _SPECVERSION,
        _CONTENT_TYPE,
        ("ce_id", event_id_text(event.originator_id, event.originator_version).encode()),
        ("ce_source", event.store_id.encode()),
        *_of_topic(event.topic, version_of(event.line)),
        ("ce_time", event.recorded_at.encode()),
        ("ce_partitionkey", key_of(event)),
        ("ce_seq", b"%d" % event.seq),
        ("ce_hash", event.hash.encode()),
    ]


def version_of(line: bytes) -> bytes:
    """The version of the event's class: the last member of a canonical line."""
    return line[line.rindex(b":") + 1 : -1]


def attributes_of(headers: Iterable[tuple[str, bytes | None]]) -> Attributes:
    """What a record says of itself; anybody may have written it."""
    said = dict(headers)
    seq = _text(said.get("ce_seq"))
    return Attributes(
        store_id=_text(said.get("ce_source")),
        seq=int(seq) if seq is not None and seq.isdecimal() and len(seq) < 20 else None,
        hash=_text(said.get("ce_hash")),
    )


@cache
def _of_topic(topic: str, version: bytes) -> tuple[Header, Header]:
    return ("ce_type", topic.encode()), ("ce_version", version)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
