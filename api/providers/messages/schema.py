"""JSON schemas in the form that Anthropic's constrained decoding accepts."""

from __future__ import annotations

from typing import Any, Final

from api.providers.port import RawObject, UnsupportedParameter

DEPTH_MAX: Final = 64

_LIMITS: Final = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
"""Refused as rules; told to the model in the description instead."""

_OF_SCHEMAS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "allOf", "prefixItems")


def cleaned(schema: Any, *, param: str, depth: int = 0) -> Any:
    """The schema without what Anthropic refuses; limits move into the descriptions."""
    if depth > DEPTH_MAX:
        raise UnsupportedParameter("the schema is nested too deeply", param=param)
    if not isinstance(schema, dict):
        return schema
    found: RawObject = {}
    limits = []
    for name, value in schema.items():
        if name in _LIMITS:
            limits.append(f"{name}: {value}")
            continue
        kept = "anyOf" if name == "oneOf" else name
        found[kept] = _inner(kept, value, param, depth + 1)
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    if limits:
        told = "{" + ", ".join(limits) + "}"
        description = found.get("description")
        found["description"] = f"{description}\n\n{told}" if description else told
    return found


def _inner(name: str, value: Any, param: str, depth: int) -> Any:
    if name in _OF_SCHEMAS and isinstance(value, dict):
        return {key: cleaned(inner, param=param, depth=depth) for key, inner in value.items()}
    if name in _LISTS and isinstance(value, list):
        return [cleaned(inner, param=param, depth=depth) for inner in value]
    if name == "items":
        return cleaned(value, param=param, depth=depth)
    return value
