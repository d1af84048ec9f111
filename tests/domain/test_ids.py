"""Identifiers: derived ones repeat, ordered ones sort, public ones are read back strictly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID, uuid5

import pytest

from domain.errors import BadValue
from domain.ids import (
    derived_id,
    event_id,
    event_id_text,
    new_id,
    ordered_id,
    parse_id,
    public_id,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, 999_999, tzinfo=UTC)


def test_ordered_ids_sort_by_their_millisecond() -> None:
    instants = [NOW + timedelta(milliseconds=step) for step in range(500)]
    made = [ordered_id(instant) for instant in instants]
    assert made == sorted(made)
    assert [each.hex for each in made] == sorted(each.hex for each in made)


def test_ordered_ids_are_version_7_and_hold_their_instant() -> None:
    for _ in range(200):
        made = ordered_id(NOW)
        assert (made.version, made.variant) == (7, RFC_4122)
        assert made.int >> 80 == int(NOW.timestamp() * 1000)


def test_ordered_ids_of_one_instant_differ() -> None:
    assert len({ordered_id(NOW) for _ in range(10_000)}) == 10_000


def test_derived_ids_repeat_and_tell_their_parts_apart() -> None:
    assert derived_id("a", "b") == derived_id("a", "b")
    assert len({derived_id("a", "b"), derived_id("ab"), derived_id("b", "a")}) == 3


def test_an_event_id_is_uuid5_of_stream_and_version() -> None:
    stream = new_id()
    assert event_id(stream, 2) == uuid5(stream, "2")
    assert event_id_text(stream, 2) == str(uuid5(stream, "2"))


def test_a_public_id_is_read_back() -> None:
    made = ordered_id(NOW)
    assert parse_id("req", public_id("req", made)) == made


@pytest.mark.parametrize(
    "text", ["", "req_", "req_" + "g" * 32, "REQ_" + "0" * 32, "cred_" + "0" * 32, "req_0" * 9]
)
def test_what_is_no_request_id_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_id("req", text)


def test_the_uuid_behind_a_public_id_is_its_hex() -> None:
    assert public_id("acc", UUID(int=1)) == "acc_" + "0" * 31 + "1"
