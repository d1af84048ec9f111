"""JSON schemas in the part of JSON Schema that Gemini understands.

The keywords are those that Google lists for `responseJsonSchema` (google-genai 3.4,
`GenerationConfig`); the same reader takes `parametersJsonSchema`.
"""

from __future__ import annotations

from typing import Any, Final

from api.providers.port import RawObject, UnsupportedParameter
from api.providers.verbatim import written

DEPTH_MAX: Final = 64

_PLAIN: Final = frozenset(
    {
        *("$id", "$ref", "$anchor", "type", "format", "title", "description", "enum"),
        *("minItems", "maxItems", "minimum", "maximum", "required", "propertyOrdering"),
    }
)
_SCHEMA: Final = frozenset({"items", "additionalProperties"})
_SCHEMAS_BY_NAME: Final = frozenset({"properties", "$defs"})
_SCHEMAS: Final = frozenset({"prefixItems", "anyOf", "oneOf"})
_SAYS_NOTHING: Final = frozenset({"$schema", "$comment", "examples", "deprecated", "readOnly"})
_OLD_REF: Final = "#/definitions/"


def cleaned(schema: Any, *, param: str, depth: int = 0) -> Any:
    """The schema with what Gemini does not know as a keyword told in the descriptions."""
    if depth > DEPTH_MAX:
        raise UnsupportedParameter("the schema is nested too deeply", param=param)
    if not isinstance(schema, dict):
        return schema
    found: RawObject = {}
    told: list[str] = []
    for name, value in _modern(schema).items():
        if name in _PLAIN:
            found[name] = value
        elif name in _SCHEMA or name in _SCHEMAS_BY_NAME or name in _SCHEMAS:
            found[name] = _inner(name, value, param, depth + 1)
        elif name not in _SAYS_NOTHING:
            told.append(f"{name}: {(written(value) or b'').decode()}")
    if "$ref" in found:
        # Beside a reference Gemini refuses everything that does not begin with $.
        return {name: value for name, value in found.items() if name.startswith("$")}
    if told:
        rules = "{" + ", ".join(told) + "}"
        description = found.get("description")
        found["description"] = f"{description}\n\n{rules}" if description else rules
    return found


def _modern(schema: RawObject) -> RawObject:
    """Older and rarer keywords in the words of those that Gemini knows."""
    found = dict(schema)
    for part in _folded(found):
        for name, value in part.items():
            known = found.get(name)
            if name == "properties" and isinstance(known, dict) and isinstance(value, dict):
                found[name] = {**known, **value}
            elif name == "required" and isinstance(known, list) and isinstance(value, list):
                found[name] = [*known, *(item for item in value if item not in known)]
            else:
                found.setdefault(name, value)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if found.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
        del found["nullable"]
    if "definitions" in found:
        found.setdefault("$defs", found.pop("definitions"))
    ref = found.get("$ref")
    if isinstance(ref, str) and ref.startswith(_OLD_REF):
        found["$ref"] = "#/$defs/" + ref.removeprefix(_OLD_REF)
    return found


def _folded(found: RawObject) -> list[RawObject]:
    """The members of an `allOf`, taken out of the schema that they all belong to."""
    parts = found.get("allOf")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return []
    if sum("$ref" in part for part in parts) > 1:
        # Two references cannot be folded into one schema; they are told in words.
        return []
    del found["allOf"]
    return parts


def _inner(name: str, value: Any, param: str, depth: int) -> Any:
    if name in _SCHEMAS_BY_NAME and isinstance(value, dict):
        return {key: cleaned(inner, param=param, depth=depth) for key, inner in value.items()}
    if name in _SCHEMAS and isinstance(value, list):
        return [cleaned(inner, param=param, depth=depth) for inner in value]
    return cleaned(value, param=param, depth=depth)
