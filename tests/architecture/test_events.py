"""Events are frozen, named, and complete in the registry (STYLE.md 4)."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from domain.events.base import PlainEvent
from domain.events.registry import EVENTS
from tests.architecture.source import ROOT

SUPPLIED: Final = {"originator_id", "originator_version", "originator_topic", "timestamp"}
"""Fields that the line has of itself, outside `data`."""


def test_every_plain_event_is_frozen_and_has_no_slots() -> None:
    for topic, event in EVENTS.items():
        if not issubclass(event, PlainEvent):
            continue
        assert dataclasses.is_dataclass(event), topic
        parameters = event.__dataclass_params__  # type: ignore[attr-defined]
        assert parameters.frozen, f"{event.__module__}.{event.__qualname__} is not frozen"
        assert "__slots__" not in vars(event), f"{topic}: the library requires no slots"


def test_every_topic_is_a_stream_and_a_past_participle() -> None:
    for topic, event in EVENTS.items():
        assert topic == event.TOPIC
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", topic), topic


def test_every_plain_event_class_is_in_the_registry() -> None:
    missing = [
        f"{event.__module__}.{event.__qualname__}"
        for event in concrete(PlainEvent)
        if "TOPIC" in vars(event) and EVENTS.get(event.TOPIC) is not event
        if event.__module__.startswith("domain.")
    ]
    assert not missing, f"domain/events/registry.py misses {', '.join(missing)}"


def concrete(event: type[PlainEvent]) -> list[type[PlainEvent]]:
    return [event, *(inner for sub in event.__subclasses__() for inner in concrete(sub))]


def test_the_manual_lists_every_event_with_its_fields() -> None:
    manual = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    rows = {
        (topic, version): fields
        for topic, version, fields in re.findall(
            r"(?m)^\| `([a-z.-]+)` \| (\d+) \| ([^|]*) \| [^|]+ \|$", manual
        )
    }
    expected = {}
    for topic, event in EVENTS.items():
        names = [field.name for field in dataclasses.fields(event)]  # type: ignore[arg-type]
        fields = ", ".join(name for name in names if name not in SUPPLIED) or "none"
        expected[topic, str(event.class_version)] = fields
    missing = [f"docs/events.md:1: {row}: {expected[row]}" for row in expected if row not in rows]
    assert not missing, "\n".join(missing)
    for row, fields in expected.items():
        assert rows[row] == fields, f"docs/events.md:1: {row[0]} has the fields {fields}"
    assert not rows.keys() - expected.keys(), f"docs/events.md:1: {rows.keys() - expected.keys()}"
