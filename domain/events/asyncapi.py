"""The AsyncAPI 3.0 document of all events: `python -m domain.events.asyncapi > docs/asyncapi.json`.

Made from the event classes, so it cannot say anything else than the codec. Each version that was
ever written has a message of its own, because the topic holds old lines as they were stored.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from domain.events.base import Event, JsonObject
from domain.events.registry import EVENTS

VERSION: Final = "1.0.0"
"""Of the document. The second number is raised when something is added, the first never: topics
and fields are never taken back."""
EARLIER: Final[Mapping[tuple[str, int], JsonObject]] = {
    ("price-book.published", 1): {"hash": {"type": "string"}, "rows": {"type": "integer"}},
    ("invoice.credit-note-issued", 1): {
        "number": {"type": "string"},
        "invoice_id": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "object"}},
    },
}
"""Fields of versions that no class writes any more; a golden file of each is kept."""

CHANNEL: Final = "keytoll.events"
_NOT_DATA: Final = {"originator_id", "originator_version", "timestamp", "originator_topic"}
_PLAIN: Final[Mapping[object, JsonObject]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    JsonObject: {"type": "object"},
}
_TEXT: Final[JsonObject] = {"type": "string"}
_UUID: Final[JsonObject] = {"type": "string", "format": "uuid"}
_INSTANT: Final[JsonObject] = {
    "type": "string",
    "format": "date-time",
    "description": "UTC with microseconds. Never runs backwards within a store.",
}
_HASH: Final[JsonObject] = {
    "type": "string",
    "pattern": "^[0-9a-f]{64}$",
    "description": "SHA-256 of a zero byte and the bytes of the value: its RFC 6962 leaf.",
}


def document() -> JsonObject:
    """The whole document, as JSON values."""
    messages = {
        f"{topic}.v{version}": _message(topic, version, data)
        for topic, event_class in EVENTS.items()
        for version, data in _versions(topic, event_class).items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "keytoll events",
            "version": VERSION,
            "description": (
                "Everything that happened: the lines of the event log, each a CloudEvents 1.0"
                " event in Kafka's binary mode. A record may come twice; an event is known by its"
                " id. New versions and new fields are added; ignore those you do not know."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {"events": _channel(messages)},
        "operations": {
            "relay": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "The relay of a store publishes its events in their order.",
            }
        },
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": _cloud_event()},
            "schemas": {"line": _line()},
        },
    }


def text() -> str:
    """The document as it is kept in docs/asyncapi.json."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(messages: Mapping[str, JsonObject]) -> JsonObject:
    return {
        "address": CHANNEL,
        "description": (
            "The name is KEYTOLL_KAFKA_TOPIC. Events of an account are in one partition, in order."
        ),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": CHANNEL,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": -1},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _cloud_event() -> JsonObject:
    """The headers that every record has, and its key."""
    headers: JsonObject = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "content-type": {"type": "string", "const": "application/json"},
        "ce_id": {**_UUID, "description": "`event_id`. Derived, so the same at every retry."},
        "ce_source": {**_TEXT, "description": "`store_id`. An id is unique in all stores."},
        "ce_type": {**_TEXT, "description": "`topic`."},
        "ce_time": _INSTANT,
        "ce_partitionkey": {**_TEXT, "description": "The record's key."},
        "ce_version": {**_TEXT, "pattern": "^[1-9][0-9]*$", "description": "`version`."},
        "ce_seq": {**_TEXT, "pattern": "^[1-9][0-9]*$", "description": "`seq`."},
        "ce_hash": _HASH,
    }
    return {
        "contentType": "application/json",
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "bindings": {
            "kafka": {
                "key": {**_TEXT, "description": "`account_id`, else `store_id`."},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _line() -> JsonObject:
    """What every line has: the value of a record."""
    properties: JsonObject = {
        "account_id": {"type": ["string", "null"]},
        "data": {"type": "object"},
        "event_id": _UUID,
        "originator_id": {**_UUID, "description": "The stream: a request, an account, …"},
        "originator_version": {
            "type": "integer",
            "minimum": 1,
            "description": "The place in the stream, dense from 1.",
        },
        "recorded_at": _INSTANT,
        "seq": {
            "type": "integer",
            "minimum": 1,
            "description": "The place in the store, dense from 1.",
        },
        "store_id": _TEXT,
        "topic": _TEXT,
        "version": {"type": "integer", "minimum": 1},
    }
    return {
        "type": "object",
        "description": "Canonical JSON (RFC 8785). Amounts are decimal text.",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _message(topic: str, version: int, data: JsonObject) -> JsonObject:
    payload = {
        "allOf": [
            {"$ref": "#/components/schemas/line"},
            {
                "properties": {
                    "topic": {"const": topic},
                    "version": {"const": version},
                    "data": data,
                }
            },
        ]
    }
    return {
        "name": topic,
        "title": f"{topic}, version {version}",
        "summary": _about(EVENTS[topic]),
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": payload,
    }


def _about(event_class: type[Event]) -> str:
    """The class's own words. The library puts subclasses in the place of some event classes, and
    dataclasses write a signature where there are no words."""
    for each in event_class.__mro__:
        words = vars(each).get("__doc__")
        if words and not words.startswith(f"{each.__name__}("):
            return inspect.cleandoc(words).replace("\n", " ")
    raise TypeError(f"{event_class.__qualname__} says nothing about itself")


def _versions(topic: str, event_class: type[Event]) -> dict[int, JsonObject]:
    """Version → the schema of its `data`."""
    found = {
        version: {"type": "object", "properties": properties, "required": list(properties)}
        for (earlier, version), properties in EARLIER.items()
        if earlier == topic
    }
    found[getattr(event_class, "class_version", 1)] = _data(event_class)
    return found


def _data(event_class: type[Event]) -> JsonObject:
    hints = get_type_hints(event_class)
    declared = [
        each
        for each in fields(event_class)  # type: ignore[arg-type]
        if each.name not in _NOT_DATA
    ]
    return {
        "type": "object",
        "properties": {each.name: _schema(hints[each.name]) for each in declared},
        # A field that was added later has a default, and older lines do not have it.
        "required": [
            each.name
            for each in declared
            if each.default is MISSING and each.default_factory is MISSING
        ],
    }


def _schema(hint: Any) -> JsonObject:
    """The JSON values that a field of this type is written as."""
    for plain, schema in _PLAIN.items():
        if hint == plain:
            return dict(schema)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if origin in (Union, UnionType) and NoneType in arguments:
        [other] = [each for each in arguments if each is not NoneType]
        schema = _schema(other)
        return {**schema, "type": [schema["type"], "null"]}
    raise TypeError(f"{hint!r} is not a type that an event's field may have")


if __name__ == "__main__":
    sys.stdout.write(text())
