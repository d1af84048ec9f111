"""JSON schemas as Gemini takes them."""

from __future__ import annotations

from typing import Any

import pytest

from api.providers.gemini.schema import DEPTH_MAX, cleaned
from api.providers.port import UnsupportedParameter


def clean(schema: Any) -> Any:
    return cleaned(schema, param="p")


def test_what_gemini_knows_stays() -> None:
    schema = {
        "$id": "x",
        "type": "object",
        "title": "T",
        "properties": {
            "a": {"type": ["string", "null"], "format": "date", "enum": ["x", None]},
            "b": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 2}},
            "c": {"anyOf": [{"type": "number"}, {"oneOf": [{"$ref": "#/$defs/d"}]}]},
            "e": {"type": "array", "prefixItems": [{"type": "string"}], "minItems": 1},
        },
        "required": ["a"],
        "propertyOrdering": ["b", "a"],
        "additionalProperties": False,
        "$defs": {"d": {"type": "object", "additionalProperties": {"type": "string"}}},
    }
    assert clean(schema) == schema


def test_what_gemini_does_not_know_is_told_in_words() -> None:
    assert clean({"type": "string", "description": "Code.", "pattern": "^a$", "default": "a"}) == {
        "type": "string",
        "description": 'Code.\n\n{pattern: "^a$", default: "a"}',
    }
    assert clean({"type": "array", "items": {"type": "string", "minLength": 3}}) == {
        "type": "array",
        "items": {"type": "string", "description": "{minLength: 3}"},
    }


def test_what_says_nothing_is_dropped() -> None:
    assert clean({"$schema": "https://json-schema.org/x", "type": "null", "examples": [1]}) == {
        "type": "null"
    }


def test_a_constant_is_the_only_choice() -> None:
    assert clean({"const": "a"}) == {"enum": ["a"]}
    assert clean({"type": "string", "const": None}) == {"type": "string", "enum": [None]}


def test_nullable_is_a_type() -> None:
    assert clean({"type": "string", "nullable": True}) == {"type": ["string", "null"]}
    assert clean({"type": "string", "nullable": False}) == {
        "type": "string",
        "description": "{nullable: false}",
    }


def test_old_definitions_are_found_where_references_point() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/definitions/d", "description": "An a.", "default": {}}},
        "definitions": {"d": {"type": "string"}},
    }
    assert clean(schema) == {
        "properties": {"a": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"type": "string"}},
    }


def test_a_reference_at_the_root_keeps_its_definitions() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}, "title": "A"}
    assert clean(schema) == {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}


def test_all_of_is_folded_into_the_schema() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"b": {"const": 1}}, "required": ["b", "a"]},
        ],
        "description": "Both.",
    }
    assert clean(schema) == {
        "description": "Both.",
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"enum": [1]}},
        "required": ["a", "b"],
    }
    assert clean({"allOf": [{"$ref": "#/$defs/d"}], "description": "D."}) == {"$ref": "#/$defs/d"}


def test_two_references_cannot_be_folded() -> None:
    found = clean({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]})
    assert found == {"description": '{allOf: [{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]}'}


def test_the_schema_that_was_given_is_left_alone() -> None:
    inner = {"const": 1}
    schema = {"allOf": [{"properties": {"a": inner}}], "definitions": {}}
    clean(schema)
    assert schema == {"allOf": [{"properties": {"a": {"const": 1}}}], "definitions": {}}


def test_depth_has_a_limit() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(DEPTH_MAX):
        schema = {"items": schema}
    assert clean(schema) == schema
    with pytest.raises(UnsupportedParameter):
        clean({"items": schema})
