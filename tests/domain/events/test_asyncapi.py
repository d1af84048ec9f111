"""docs/asyncapi.json says what the codec writes. Another program checks it in tests/clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator, ValidationError

from domain.eventlog.cloudevents import headers_of, key_of
from domain.events.asyncapi import document, text
from domain.events.registry import EVENTS
from tests.domain.eventlog.lines import stored
from tests.domain.events.golden import FOLDER

ROOT: Final = Path(__file__).parents[3]
DOCUMENT: Final = document()
MESSAGES: Final[dict[str, Any]] = DOCUMENT["components"]["messages"]
GOLDEN: Final = sorted(FOLDER.glob("*.json"))


def payload_validator(name: str) -> Draft7Validator:
    """Of a message's value; references are of the document."""
    schema = {"components": DOCUMENT["components"], **MESSAGES[name]["payload"]}
    return Draft7Validator(schema)


def golden(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.loads(path.read_text(encoding="utf-8"))["line"])
    return fields


def test_the_kept_document_is_what_the_classes_say() -> None:
    kept = (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8")
    assert kept == text(), "run `make golden`"


def test_there_is_a_message_for_every_version_ever_written() -> None:
    assert set(MESSAGES) == {path.stem for path in GOLDEN}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_line_fits_its_schema_and_no_other(path: Path) -> None:
    line = golden(path)
    payload_validator(path.stem).validate(line)
    for name in MESSAGES:
        assert payload_validator(name).is_valid(line) == (name == path.stem)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_schema_names_every_field_of_the_data_and_nothing_else(path: Path) -> None:
    schema = MESSAGES[path.stem]["payload"]["allOf"][1]["properties"]["data"]
    assert schema["properties"].keys() == golden(path)["data"].keys()
    assert set(schema["required"]) <= schema["properties"].keys()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seq": 0}, "minimum"),
        ({"seq": "1"}, "not of type 'integer'"),
        ({"extra": 1}, "was unexpected"),
        ({"account_id": 7}, "not of type"),
        ({"data": {}}, "is a required property"),
        ({"topic": "request.failed"}, "was expected"),
    ],
)
def test_a_wrong_line_does_not_fit(change: dict[str, Any], says: str) -> None:
    line = golden(FOLDER / "request.routed.v1.json") | change
    with pytest.raises(ValidationError, match=says):
        payload_validator("request.routed.v1").validate(line)


def test_every_event_says_what_it_means() -> None:
    for name, message in MESSAGES.items():
        assert message["summary"].endswith("."), name
        assert not message["summary"].startswith(name), name
        assert message["name"] in EVENTS


def test_the_headers_are_those_of_a_record() -> None:
    schema = DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]
    [event] = stored(1)
    headers = {name: value.decode() for name, value in headers_of(event)}
    Draft7Validator(schema).validate(headers)
    assert headers.keys() == schema["properties"].keys()
    assert key_of(event).decode() == headers["ce_partitionkey"]
