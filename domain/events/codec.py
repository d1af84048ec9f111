"""Events to the canonical line of EVENTS.md and back.

A caller serialises all of an event but what the one writer of a store decides: `recorded_at`,
`seq` and `store_id` stand side by side in sorted keys, so the writer only fills that gap. Loading
runs the constructor, so checks in `__post_init__` hold for old bytes too; nothing is guessed: an
unknown field is refused, and so is a missing one without a default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from sys import modules
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import orjson

from domain.clock import parse_instant
from domain.errors import DomainError
from domain.events.base import Event, JsonObject, PlainEvent
from domain.events.registry import EVENTS
from domain.ids import event_id_text
from domain.seal import leaf_hash

_CANONICAL: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_PLAIN: Final = frozenset({str, int, bool, type(None)})
_OUTSIDE_DATA: Final = frozenset(
    {"originator_id", "originator_version", "timestamp", "originator_topic"}
)
_LINE_KEYS: Final = frozenset(
    {
        "account_id",
        "data",
        "event_id",
        "originator_id",
        "originator_version",
        "recorded_at",
        "seq",
        "store_id",
        "topic",
        "version",
    }
)


class UnreadableEvent(DomainError):
    """Stored bytes do not fit the event class of their topic."""


class NotAnEvent(DomainError):
    """The object cannot be written: not registered, or a value that canonical JSON cannot hold."""


class Encoded(NamedTuple):
    """An event, serialised up to the gap that the writer fills."""

    head: bytes
    tail: bytes
    topic: str
    originator_id: UUID
    originator_version: int
    account_id: str | None

    def line(self, *, recorded_at: str, seq: int, store_id: str) -> bytes:
        """The canonical line, once its place is known."""
        middle = f'{recorded_at}","seq":{seq},"store_id":"{store_id}'
        return self.head + middle.encode() + self.tail


class HasLine(Protocol):
    """Anything that carries a stored line, such as `Recorded`."""

    @property
    def line(self) -> bytes: ...


def encode(event: Event, *, account_id: str | None) -> Encoded:
    """Serialise an event. Raises NotAnEvent when canonical JSON could not give it back."""
    shape = _shape(type(event))
    values = vars(event)
    data = {name: values[name] for name in shape.names}
    _check_values(data, shape.topic)
    originator_id, version = event.originator_id, event.originator_version
    head = canonical(
        {
            "account_id": account_id,
            "data": data,
            "event_id": event_id_text(originator_id, version),
            "originator_id": str(originator_id),
            "originator_version": version,
        }
    )
    return Encoded(
        head[:-1] + b',"recorded_at":"',
        shape.tail,
        shape.topic,
        originator_id,
        version,
        account_id,
    )


def decode(source: bytes | HasLine) -> Event:
    """The event of a stored line, upcast to today's class. Raises UnreadableEvent."""
    return event_of(read_line(source if isinstance(source, bytes) else source.line))


def event_of(fields_of_line: JsonObject) -> Event:
    """`decode` of what `read_line` gave; it may change the `data` of its argument."""
    topic, version = fields_of_line["topic"], fields_of_line["version"]
    event_class = EVENTS.get(topic)
    if event_class is None:
        raise UnreadableEvent(f"{topic!r} is not a topic that this program knows")
    shape = _shape(event_class)
    data = _upcast(shape, fields_of_line["data"], version)
    _check_names(shape, data, version)
    if shape.has_timestamp:
        data["timestamp"] = parse_instant(fields_of_line["recorded_at"])
    if shape.originator_topic is not None:
        data["originator_topic"] = shape.originator_topic
    data["originator_id"] = UUID(fields_of_line["originator_id"])
    data["originator_version"] = fields_of_line["originator_version"]
    return shape.build(data)


def read_line(line: bytes) -> JsonObject:
    """The fields of a line, `data` not upcast. Raises UnreadableEvent if it is not a line."""
    try:
        fields_of_line = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise UnreadableEvent("a stored line is not JSON") from None
    if not isinstance(fields_of_line, dict) or fields_of_line.keys() != _LINE_KEYS:
        raise UnreadableEvent("a stored line does not have the fields of EVENTS.md")
    return fields_of_line


def canonical(value: object) -> bytes:
    """RFC 8785 for values without floats and with ASCII keys; a test compares."""
    try:
        return orjson.dumps(value, option=_CANONICAL)
    except TypeError as error:
        raise NotAnEvent(f"not canonical JSON: {error}") from None


def line_hash(line: bytes) -> str:
    """The `hash` of EVENTS.md, hex."""
    return leaf_hash(line).hex()


@dataclass(frozen=True)
class _Shape:
    """What a class writes and needs, read from its dataclass fields once."""

    event_class: type[Event]
    topic: str
    version: int
    names: tuple[str, ...]
    known: frozenset[str]
    required: frozenset[str]
    has_timestamp: bool
    originator_topic: str | None
    """The TOPIC of the aggregate that a first event creates."""
    tail: bytes
    taken_over: int
    """How many values a plain event has; none are taken over by aggregates' events."""

    def build(self, values: JsonObject) -> Event:
        """The event that the constructor makes of these values.

        A frozen dataclass sets field by field what is here taken over at once, when nothing is
        left to its defaults; that is most of what decoding would take. Tests compare the two.
        """
        if len(values) != self.taken_over:
            made: Event = self.event_class(**values)
            return made
        plain = object.__new__(self.event_class)
        vars(plain).update(values)
        plain.__post_init__()  # type: ignore[attr-defined]
        return plain


@cache
def _shape(event_class: type[Event]) -> _Shape:
    topic = getattr(event_class, "TOPIC", None)
    if not isinstance(topic, str) or EVENTS.get(topic) is not event_class:
        raise NotAnEvent(f"{event_class.__qualname__} is not in domain/events/registry.py")
    declared = fields(event_class)  # type: ignore[arg-type]
    all_names = {field.name for field in declared}
    version = getattr(event_class, "class_version", 1)
    names = tuple(field.name for field in declared if field.name not in _OUTSIDE_DATA)
    end = canonical({"topic": topic, "version": version})
    return _Shape(
        event_class=event_class,
        topic=topic,
        version=version,
        names=names,
        known=frozenset(names),
        required=frozenset(
            field.name
            for field in declared
            if field.default is MISSING and field.default_factory is MISSING
        )
        - _OUTSIDE_DATA,
        has_timestamp="timestamp" in all_names,
        originator_topic=_owner_topic(event_class) if "originator_topic" in all_names else None,
        tail=b'",' + end[1:],
        taken_over=len(all_names) if issubclass(event_class, PlainEvent) else -1,
    )


def _owner_topic(event_class: type) -> str:
    """The TOPIC of the aggregate class that the event class is nested in."""
    owner = getattr(modules[event_class.__module__], event_class.__qualname__.split(".")[0], None)
    topic = getattr(owner, "TOPIC", None)
    if not isinstance(topic, str):
        raise NotAnEvent(f"{event_class.__qualname__} is not inside an aggregate with a TOPIC")
    return topic


def _check_values(value: Mapping[str, Any] | list[Any], topic: str) -> None:
    """Refuse what JSON would not give back as it was: floats, tuples, objects, non-ASCII keys."""
    items: Iterable[Any] = value
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str or not key.isascii():
                raise NotAnEvent(f"{topic}: the key {key!r} is not ASCII text")
        items = value.values()
    kinds = set(map(type, items)) - _PLAIN
    if not kinds:
        return
    for kind in kinds - {dict, list}:
        raise NotAnEvent(f"{topic}: a {kind.__name__} cannot be written")
    for item in items:
        if item and type(item) in kinds:
            _check_values(item, topic)


def _upcast(shape: _Shape, data: JsonObject, version: int) -> JsonObject:
    if version > shape.version:
        raise UnreadableEvent(
            f"{shape.topic} version {version} was written by a newer program"
            f" (this one knows version {shape.version})"
        )
    for older in range(version, shape.version):
        getattr(shape.event_class, f"upcast_v{older}_v{older + 1}")(data)
    return data


def _check_names(shape: _Shape, data: JsonObject, version: int) -> None:
    if data.keys() == shape.known:
        return
    unknown = data.keys() - shape.known
    if unknown:
        raise UnreadableEvent(f"{shape.topic} version {version}: unknown {sorted(unknown)}")
    missing = shape.required - data.keys()
    if missing:
        raise UnreadableEvent(f"{shape.topic} version {version}: missing {sorted(missing)}")
