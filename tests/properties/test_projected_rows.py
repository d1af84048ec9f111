"""What is in the tables is what the events say, cell by cell, whatever the events say.

There is one way from a line to its rows, so nothing is compared with a slower one: the rows are
compared with what the store gives back, and decoding with the constructor that it goes past.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import BadValue
from domain.events.base import PlainEvent
from domain.events.codec import decode, encode
from domain.events.requests import RequestRouted, UsageReported
from domain.ids import event_id, event_id_bytes, event_id_text, new_id
from domain.usage import COUNT_MAX
from projections.drift import drift
from projections.projector import Projector
from projections.store.port import ProjectionStore
from tests.projections.world import World

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
MILLISECONDS = st.none() | st.integers(0, 2**53 - 1)
ROUTES = st.fixed_dictionaries(
    {
        "requested_model": TEXT,
        "api": TEXT,
        "tags": st.dictionaries(KEYS, TEXT, max_size=3),
        "stream": st.booleans(),
        "account_version": st.integers(0, 2**53 - 1),
        "markup_rate": st.sampled_from(["0", "0.05", "0.050000", "1", "0.000001"]),
        "price_at": st.sampled_from(
            ["2026-11-01T00:00:00Z", "2026-11-01T02:00:00.5+02:00", "2299-12-31T23:59:59.999999Z"]
        ),
        "model": st.sampled_from(["gpt-x", "new-x", "nobody's"]),
    }
)
COUNTS = st.integers(0, COUNT_MAX)
REPORTS = st.builds(
    lambda whole, part, answer, rest: {
        "usage": {
            "input_tokens": max(whole, part),
            "cached_input_tokens": part,
            "output_tokens": answer,
        },
        **rest,
    },
    COUNTS,
    COUNTS,
    COUNTS,
    st.fixed_dictionaries(
        {
            "model": st.none() | st.sampled_from(["gpt-x", "claude-x", ""]),
            "finish_reason": st.none() | TEXT,
            "delivered": st.sampled_from(["all", "part", "none"]),
            "first_byte_ms": MILLISECONDS,
            "total_ms": MILLISECONDS,
            "tries": st.integers(0, 2**32 - 1),
            "provenance": st.just({"input_tokens": "estimated"}) | st.just({}),
        }
    ),
)


@settings(
    max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(calls=st.lists(st.tuples(ROUTES, REPORTS), min_size=1, max_size=6))
def test_the_store_gives_back_what_the_events_say(
    tables: ProjectionStore, calls: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    for table in ("log_lines", "request_lines", "dead_letters"):
        tables.command(f"TRUNCATE TABLE $db.{table}")
    world = World()
    account = world.open_account("a")
    for route, report in calls:
        request = world.routed(account, **route)
        used = UsageReported(originator_id=request, originator_version=2, usage_raw=[], **report)
        world.append(used, account=account)
    projector = Projector(log=world.log, store=tables, books=world.books)
    until = projector.catch_up()
    assert drift(log=world.log, store=tables, books=world.books, until=until) == []
    assert tables.query("SELECT count() FROM $db.request_lines FINAL") == [(len(calls),)]


@settings(max_examples=40, deadline=None)
@given(route=ROUTES, report=REPORTS)
def test_decoding_gives_what_the_constructor_makes(
    route: dict[str, Any], report: dict[str, Any]
) -> None:
    world = World()
    request = world.routed("acc_x", **route)
    used = UsageReported(originator_id=request, originator_version=2, usage_raw=[], **report)
    (routed,) = world.log.stream(request)
    for event in (decode(routed), used):
        assert isinstance(event, PlainEvent)
        line = encode(event, account_id="acc_x").line(recorded_at="x", seq=1, store_id="s")
        decoded = decode(line)
        made = type(event)(**vars(event))
        assert type(decoded) is type(made)
        assert vars(decoded) == vars(made)


def test_decoding_checks_what_the_constructor_checks() -> None:
    world = World()
    request = world.routed("acc_x")
    (routed,) = world.log.stream(request)
    line = routed.line.replace(b'"originator_version":1', b'"originator_version":2')
    with pytest.raises(BadValue, match="version 1"):
        decode(line)
    with pytest.raises(BadValue, match="version 1"):
        RequestRouted(**{**vars(decode(routed)), "originator_version": 2})


@given(version=st.integers(1, 2**31))
def test_an_event_s_id_is_the_same_in_every_form(version: int) -> None:
    stream = new_id()
    identity = event_id(stream, version)
    assert identity.version == 5
    assert str(identity) == event_id_text(stream, version)
    assert identity.bytes == event_id_bytes(stream, version)
