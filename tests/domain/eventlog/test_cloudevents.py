"""The headers of a record, held against the rules of the CloudEvents 1.0 specification."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime

import pytest

from domain.eventlog.cloudevents import Attributes, attributes_of, headers_of, key_of
from domain.eventlog.port import Recorded
from domain.events.codec import line_hash
from domain.ids import event_id_text
from tests.domain.eventlog.lines import stored

# "CloudEvents attribute names MUST consist of lower-case letters ('a' to 'z') or digits ('0' to
# '9') from the ASCII character set. Attribute names SHOULD be descriptive and terse and SHOULD NOT
# exceed 20 characters in length."
ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
REQUIRED = {"id", "source", "specversion", "type"}
# RFC 3986: characters of a relative reference without scheme, whose first segment has no colon.
URI_REFERENCE = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=@-]+")


def attributes(event: Recorded) -> dict[str, str]:
    """Name → value, as a reader of the binary mode takes them."""
    found = {}
    for name, value in headers_of(event):
        text = value.decode("utf-8")
        found["datacontenttype" if name == "content-type" else name.removeprefix("ce_")] = text
    return found


def test_a_record_has_the_attributes_of_its_event() -> None:
    [event] = stored(1, after=41)
    assert attributes(event) == {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "id": event_id_text(event.originator_id, 1),
        "source": "st_1",
        "type": "request.routed",
        "time": "2026-11-01T00:00:00.000000Z",
        "partitionkey": event.account_id,
        "version": "1",
        "seq": "42",
        "hash": line_hash(event.line),
    }
    assert attributes(event)["id"] == json.loads(event.line)["event_id"]


def test_names_and_values_follow_the_specification() -> None:
    [event] = stored(1)
    names = [name for name, _ in headers_of(event)]
    assert len(set(names)) == len(names)
    assert all(name == "content-type" or name.startswith("ce_") for name in names)
    found = attributes(event)
    assert found.keys() >= REQUIRED
    assert all(ATTRIBUTE.fullmatch(name) for name in found)
    assert all(found.values())
    assert URI_REFERENCE.fullmatch(found["source"])
    assert datetime.fromisoformat(found["time"]).tzinfo is not None
    assert not found["datacontenttype"].startswith("application/cloudevents")


def test_the_key_is_the_account_or_else_the_store() -> None:
    [event] = stored(1)
    assert key_of(event) == b"acc_" + b"0" * 32
    assert key_of(event._replace(account_id=None)) == b"st_1"


def test_the_version_is_that_of_the_class_in_the_line() -> None:
    [event] = stored(1)
    later = event._replace(line=event.line.replace(b'"version":1}', b'"version":12}'))
    assert attributes(later)["version"] == "12"


def test_headers_give_the_place_back() -> None:
    [event] = stored(1, after=41)
    assert attributes_of(headers_of(event)) == ("st_1", 42, event.hash)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], (None, None, None)),
        ([("ce_seq", None), ("ce_source", b"\xff"), ("ce_hash", b"aa")], (None, None, "aa")),
        ([("ce_seq", b"-1")], (None, None, None)),
        ([("ce_seq", b"1e3")], (None, None, None)),
        ([("ce_seq", "²".encode())], (None, None, None)),
        ([("ce_seq", b"9" * 5000)], (None, None, None)),
        ([("ce_seq", b"7"), ("other", b"8")], (None, 7, None)),
    ],
)
def test_headers_of_anybody_are_read_without_harm(
    headers: Sequence[tuple[str, bytes | None]], said: Attributes
) -> None:
    assert attributes_of(headers) == said
