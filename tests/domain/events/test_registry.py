"""The registry names every event class of the domain."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isclass
from types import ModuleType

import domain
from domain.events.registry import EVENTS


def domain_modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(domain.__path__, "domain."):
        yield import_module(info.name)


def event_classes(holder: object) -> Iterator[type]:
    """Classes with a TOPIC that name an event; a topic without a point is an aggregate's."""
    for name, member in getmembers(holder, isclass):
        topic = getattr(member, "TOPIC", None)
        if name in {"__class__", "Event", "Created"} or not isinstance(topic, str):
            continue
        if "." in topic:
            yield member
        else:
            yield from event_classes(member)


def test_every_event_class_of_the_domain_is_registered() -> None:
    found = {
        member.__qualname__: member
        for module in domain_modules()
        for member in event_classes(module)
    }
    registered = {event_class.__qualname__ for event_class in EVENTS.values()}
    assert set(found) == registered, "add the class to domain/events/registry.py"


def test_the_key_is_the_topic_of_the_class() -> None:
    assert {topic: event_class.TOPIC for topic, event_class in EVENTS.items()} == {
        topic: topic for topic in EVENTS
    }


def test_a_registered_class_is_the_one_that_its_aggregate_triggers() -> None:
    # The library replaces a decorated event class by a subclass: the registry must hold that one.
    for topic, event_class in EVENTS.items():
        module = import_module(event_class.__module__)
        found: object = module
        for part in event_class.__qualname__.split("."):
            found = getattr(found, part)
        assert found is event_class, topic
