"""What may be written, and that what was written is read as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any, ClassVar
from uuid import UUID, uuid4, uuid5

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from domain.credential import Credential
from domain.errors import BadValue
from domain.events.base import PlainEvent
from domain.events.codec import NotAnEvent, UnreadableEvent, canonical, decode, encode, line_hash
from domain.events.registry import EVENTS
from domain.events.requests import RequestFailed, RequestRouted, UsageReported
from tests.domain.events.samples import ACCOUNT_ID, sample

PLACE: dict[str, Any] = {
    "recorded_at": "2026-11-01T12:34:56.789012Z",
    "seq": 42,
    "store_id": "st_1",
}


def line_of(topic: str) -> bytes:
    return encode(sample(topic), account_id=ACCOUNT_ID).line(**PLACE)


def changed(topic: str, **data: object) -> bytes:
    """The line of a sample with fields of `data` set (or, where `...`, left out)."""
    fields = json.loads(line_of(topic))
    for name, value in data.items():
        if value is ...:
            del fields["data"][name]
        else:
            fields["data"][name] = value
    return json.dumps(fields).encode()


@pytest.mark.parametrize("topic", EVENTS)
def test_a_line_is_canonical_json_of_the_fields_of_the_contract(topic: str) -> None:
    line = line_of(topic)
    fields = json.loads(line)
    event = sample(topic)
    assert line == rfc8785.dumps(fields)
    assert fields == {
        **PLACE,
        "account_id": ACCOUNT_ID,
        "data": fields["data"],
        "event_id": str(uuid5(event.originator_id, str(event.originator_version))),
        "originator_id": str(event.originator_id),
        "originator_version": event.originator_version,
        "topic": topic,
        "version": type(event).class_version,
    }
    assert line_hash(line) == hashlib.sha256(b"\x00" + line).hexdigest()


texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.text(st.characters(max_codepoint=127))
whole = st.integers(-(2**53) + 1, 2**53 - 1)
values = st.recursive(
    st.none() | st.booleans() | whole | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_canonical_json_is_that_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(raw=texts, tags=st.dictionaries(keys, texts, max_size=3), count=st.integers(0, 10**12))
def test_any_text_and_count_comes_back(raw: str, tags: dict[str, str], count: int) -> None:
    routed = sample("request.routed")
    reported = sample("request.usage-reported")
    assert isinstance(routed, RequestRouted)
    assert isinstance(reported, UsageReported)
    routed = replace(routed, tags=tags, requested_model=raw)
    reported = replace(reported, usage_raw=[raw], usage={"output_tokens": count}, parts=[])
    assert decode(encode(routed, account_id=None).line(**PLACE)) == routed
    assert decode(encode(reported, account_id=ACCOUNT_ID).line(**PLACE)) == reported


class Level(IntEnum):
    HIGH = 1


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        float("nan"),
        float("inf"),
        Decimal("1"),
        (1, 2),
        {1, 2},
        b"bytes",
        datetime(2026, 1, 1, tzinfo=UTC),
        UUID(int=1),
        Level.HIGH,
        2**53,
        "\ud800",
        {"größe": 1},
        {1: "a"},
        {"deep": [{"er": 0.5}]},
    ],
    ids=repr,
)
def test_what_json_would_not_give_back_is_refused(value: object) -> None:
    event = sample("request.usage-reported")
    assert isinstance(event, UsageReported)
    with pytest.raises(NotAnEvent):
        encode(replace(event, context={"value": value}), account_id=None)


def test_a_class_that_is_not_registered_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Lookalike(PlainEvent):
        TOPIC: ClassVar[str] = "request.failed"

    with pytest.raises(NotAnEvent, match="Lookalike"):
        encode(Lookalike(originator_id=uuid4(), originator_version=2), account_id=None)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(UnreadableEvent, match="colour"):
        decode(changed("request.failed", colour="red"))


def test_a_missing_field_is_refused_by_name() -> None:
    with pytest.raises(UnreadableEvent, match="failure"):
        decode(changed("request.failed", failure=...))


def test_a_missing_field_with_a_default_takes_it() -> None:
    event = decode(changed("request.failed", tries=...))
    assert isinstance(event, RequestFailed)
    assert event.tries == 1


def test_fields_of_the_line_cannot_be_smuggled_into_data() -> None:
    with pytest.raises(UnreadableEvent, match="originator_version"):
        decode(changed("request.failed", originator_version=7))
    with pytest.raises(UnreadableEvent, match="timestamp"):
        decode(changed("credential.key-checked", timestamp="2026-11-01T00:00:00Z"))


def test_the_constructor_checks_old_bytes() -> None:
    with pytest.raises(BadValue, match="not a known failure"):
        decode(changed("request.failed", failure="bad luck"))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"topic":"request.failed"}', b'{"a":1}', b"\xff"]
)
def test_bytes_that_are_no_line_are_refused(line: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        decode(line)


def test_a_topic_or_version_of_a_newer_program_is_refused() -> None:
    fields = json.loads(line_of("request.failed"))
    with pytest.raises(UnreadableEvent, match=r"request\.vanished"):
        decode(json.dumps({**fields, "topic": "request.vanished"}).encode())
    with pytest.raises(UnreadableEvent, match="newer program"):
        decode(json.dumps({**fields, "version": 2}).encode())


def test_old_versions_are_upcast_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Weighed(PlainEvent):
        TOPIC: ClassVar[str] = "test.weighed"
        class_version: ClassVar[int] = 3
        grams: int

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["kilograms"] = state.pop("weight")

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            state["grams"] = state.pop("kilograms") * 1000

    monkeypatch.setitem(EVENTS, Weighed.TOPIC, Weighed)
    event = Weighed(originator_id=uuid4(), originator_version=1, grams=5000)
    line = encode(event, account_id=None).line(**PLACE)
    fields = json.loads(line)
    assert fields["version"] == 3
    for version, data in ((1, {"weight": 5}), (2, {"kilograms": 5}), (3, {"grams": 5000})):
        old = json.dumps({**fields, "version": version, "data": data}).encode()
        assert decode(old) == event


def test_an_aggregate_is_rebuilt_from_its_lines() -> None:
    credential = Credential(
        account_id=ACCOUNT_ID,
        provider="openai",
        key_suffix="x9Qk",
        fingerprint="23" * 32,
        secret_version=1,
        position=0,
    )
    credential.check("verified", "ok")
    lines = []
    for made in credential.collect_events():
        assert isinstance(made, Credential.Event)
        lines.append(encode(made, account_id=ACCOUNT_ID).line(**PLACE))
    again: Credential | None = None
    for line in lines:
        assert b"timestamp" not in line
        assert b"originator_topic" not in line
        event = decode(line)
        assert isinstance(event, Credential.Event)
        again = event.mutate(again)
    assert again is not None
    assert (again.id, again.version, again.status) == (credential.id, 2, "verified")
    assert again.modified_on == datetime(2026, 11, 1, 12, 34, 56, 789012, tzinfo=UTC)
