"""The text of a chat completion's request, as far as it becomes tokens that are billed.

Earlier reasoning is left out: providers drop it from the prompt, or bill it at will. Images,
audio and files are left out too, because their tokens do not follow from any text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from domain.events.base import JsonObject

ToolForm = Literal["names", "signature", "json"]
"""How much of a tool's definition is counted: names and descriptions; those and the types, as a
function's signature; or the whole definition as JSON. It follows how the model gets to see it."""

DEPTH_MAX: Final = 16
"""Deeper levels of a schema are not counted."""

_THOUGHT: Final = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)


def prompt_texts(body: JsonObject, tools: ToolForm = "names") -> list[str]:
    """Texts of messages, arguments of earlier tool calls, their results, and the tools."""
    texts: list[str] = []
    for message in _objects(body.get("messages")):
        texts.extend(_content(message))
        texts.extend(_strings(*(call.get("arguments") for call in _calls(message))))
    if body.get("tool_choice") != "none":
        texts.extend(_tool(function, tools) for function in _functions(body))
    return [text for text in texts if text]


def _calls(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield _member(message, "function_call")  # OpenAI's form before tools
    for call in _objects(message.get("tool_calls")):
        yield _member(call, "function")


def _functions(body: JsonObject) -> Iterator[dict[str, Any]]:
    yield from _objects(body.get("functions"))
    for tool in _objects(body.get("tools")):
        yield _member(tool, "function")


def _content(message: Mapping[str, Any]) -> Iterator[str]:
    texts = [*_strings(message.get("content"))]
    for part in _objects(message.get("content")):
        texts.extend(_strings(part.get("text"), part.get("refusal")))
    if message.get("role") == "assistant":
        texts = [_THOUGHT.sub("", text) for text in texts]
    yield from texts


def _tool(function: Mapping[str, Any], form: ToolForm) -> str:
    try:
        return _FORMS[form](function)
    except RecursionError:
        # Nested deeper than json can write: nothing that a provider would accept.
        return ""


def _names(function: Mapping[str, Any]) -> str:
    texts = [*_strings(function.get("name"), function.get("description"))]
    texts.extend(_schema_names(function.get("parameters"), depth=0))
    return " ".join(texts)


def _schema_names(schema: object, depth: int) -> Iterator[str]:
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return
    yield from _strings(schema.get("description"))
    for name, inner in _member(schema, "properties").items():
        yield name
        yield from _schema_names(inner, depth + 1)
    yield from _schema_names(schema.get("items"), depth + 1)


def _signature(function: Mapping[str, Any]) -> str:
    """One function type, each parameter on a line with its description above it."""
    lines = [f"// {text}" for text in _strings(function.get("description")) if text]
    parameters = _parameters(function.get("parameters"), depth=0)
    inside = f"(_: {{\n{parameters}}})" if parameters else "()"
    lines.append(f"type {function.get('name')} = {inside} => any;")
    return "\n".join(lines)


def _parameters(schema: object, depth: int) -> str:
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return ""
    required = schema.get("required")
    always = required if isinstance(required, list) else []
    lines: list[str] = []
    for name, inner in _member(schema, "properties").items():
        if isinstance(inner, dict):
            lines.extend(f"// {text}" for text in _strings(inner.get("description")) if text)
        lines.append(f"{name}{'' if name in always else '?'}: {_type(inner, depth + 1)},")
    return "".join(f"{line}\n" for line in lines)


def _type(schema: object, depth: int) -> str:
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"{_type(schema.get('items'), depth + 1)}[]"
        case "object" if schema.get("properties"):
            return f"{{\n{_parameters(schema, depth)}}}"
        case "integer":
            return "number"
        case str(name):
            return name
        case _:
            return "any"


def _json(function: Mapping[str, Any]) -> str:
    known = {name: function.get(name) for name in ("name", "description", "parameters")}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":"))


_FORMS: Final = {"names": _names, "signature": _signature, "json": _json}


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _member(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}


def _strings(*values: object) -> Iterator[str]:
    yield from (value for value in values if isinstance(value, str))
