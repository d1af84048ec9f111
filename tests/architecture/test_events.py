"""Events are frozen, named, and complete in the registry (STYLE.md 4)."""

from __future__ import annotations

import dataclasses
import re

from domain.events.base import PlainEvent
from domain.events.registry import EVENTS


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
