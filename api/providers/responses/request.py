"""A chat completion's request as one for Responses: every field is honoured, dropped or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.asked import asked_for, token_limit
from api.providers.port import ChatCall, RawObject, UnsupportedParameter
from api.providers.responses.input import input_items

AS_THEY_ARE: Final = (
    *("max_tool_calls", "metadata", "moderation", "parallel_tool_calls", "prompt_cache_key"),
    *("prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier"),
    *("temperature", "top_p", "truncation", "user"),
)
TRANSLATED: Final = frozenset(
    {
        *("logprobs", "max_completion_tokens", "max_tokens", "messages", "model", "reasoning"),
        *("reasoning_effort", "response_format", "store", "stream", "stream_options"),
        *("tool_choice", "tools", "top_logprobs", "verbosity", "web_search_options"),
        *AS_THEY_ARE,
    }
)
HARMLESS: Final = frozenset({"cache_control", "prediction", "seed"})
"""Dropped: they speed up or repeat an answer, but do not decide it."""

_REASONING: Final = frozenset({"effort", "summary"})
_PLACE: Final = ("city", "country", "region", "timezone")


def request_body(call: ChatCall) -> RawObject:
    """The body for `/responses`. Raises UnsupportedParameter naming the field."""
    asked = asked_for(call, TRANSLATED | HARMLESS, of="Responses")
    items = input_items(asked.get("messages"))
    # Responses are kept for 30 days unless this says otherwise; chat completions are not.
    body: RawObject = {"model": call.model, "input": items, "store": asked.get("store", False)}
    for name in AS_THEY_ARE:
        if name in asked:
            body[name] = asked[name]
    limit = token_limit(asked)
    if limit is not None:
        body["max_output_tokens"] = limit
    include: list[str] = []
    _reasoning(body, asked, include)
    _logprobs(body, asked, include)
    if include:
        body["include"] = include
    _tools(body, asked)
    _text(body, asked)
    if call.stream:
        body["stream"] = True
        options = asked.get("stream_options")
        if isinstance(options, Mapping) and options.get("include_obfuscation") is not None:
            body["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    return body


def _reasoning(body: RawObject, asked: Mapping[str, Any], include: list[str]) -> None:
    given = asked.get("reasoning", {})
    if not isinstance(given, Mapping) or not given.keys() <= _REASONING:
        raise UnsupportedParameter("reasoning holds effort and summary", param="reasoning")
    reasoning = {name: value for name, value in given.items() if value is not None}
    if "reasoning_effort" in asked:
        reasoning["effort"] = asked["reasoning_effort"]
    if reasoning:
        body["reasoning"] = reasoning
    thinks = reasoning and reasoning.get("effort") != "none"
    if thinks or any(item.get("type") == "reasoning" for item in body["input"]):
        # Asked for only when the model surely reasons: others refuse to seal what they lack.
        include.append("reasoning.encrypted_content")


def _logprobs(body: RawObject, asked: Mapping[str, Any], include: list[str]) -> None:
    number = asked.get("top_logprobs")
    if asked.get("logprobs") is True:
        include.append("message.output_text.logprobs")
        if number is not None:
            body["top_logprobs"] = number
    elif number:
        raise UnsupportedParameter("top_logprobs needs logprobs", param="top_logprobs")


def _tools(body: RawObject, asked: Mapping[str, Any]) -> None:
    given = asked.get("tools", [])
    if not isinstance(given, list):
        raise UnsupportedParameter("tools must be a list", param="tools")
    tools = [_tool(tool, f"tools.{place}") for place, tool in enumerate(given)]
    if "web_search_options" in asked:
        tools.append(_web_search(asked["web_search_options"]))
    if tools:
        body["tools"] = tools
    if "tool_choice" in asked:
        body["tool_choice"] = _tool_choice(asked["tool_choice"])


def _tool(tool: Any, param: str) -> RawObject:
    kind = tool.get("type", "function") if isinstance(tool, Mapping) else None
    given = tool.get(kind) if kind in ("function", "custom") else None
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise UnsupportedParameter(
            "a tool must be of type function or custom, with a name", param=param
        )
    found: RawObject = {"type": kind, "name": given["name"]}
    if given.get("description") is not None:
        found["description"] = given["description"]
    if kind == "custom":
        if given.get("format") is not None:
            found["format"] = _grammar(given["format"])
        return found
    # Both keys are required here, and strict would be the default.
    found["parameters"] = given.get("parameters") or {"type": "object", "properties": {}}
    found["strict"] = given.get("strict") or False
    return found


def _grammar(given: Any) -> Any:
    """Chat nests what describes a grammar; Responses does not."""
    inner = given.get("grammar") if isinstance(given, Mapping) else None
    return {"type": "grammar", **inner} if isinstance(inner, Mapping) else given


def _web_search(options: Any) -> RawObject:
    if not isinstance(options, Mapping):
        raise UnsupportedParameter("it must be an object", param="web_search_options")
    tool: RawObject = {"type": "web_search"}
    if options.get("search_context_size") is not None:
        tool["search_context_size"] = options["search_context_size"]
    location = options.get("user_location")
    if isinstance(location, Mapping):
        near = location.get("approximate")
        near = near if isinstance(near, Mapping) else {}
        known = {name: near[name] for name in _PLACE if near.get(name) is not None}
        tool["user_location"] = {"type": "approximate", **known}
    return tool


def _tool_choice(asked: Any) -> Any:
    if asked in ("none", "auto", "required"):
        return asked
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    inner = asked.get(kind) if isinstance(kind, str) else None
    if isinstance(inner, Mapping):
        if kind in ("function", "custom") and isinstance(inner.get("name"), str):
            return {"type": kind, "name": inner["name"]}
        if kind == "allowed_tools" and isinstance(inner.get("tools"), list):
            tools = [_tool_choice(tool) for tool in inner["tools"]]
            return {"type": kind, "mode": inner.get("mode", "auto"), "tools": tools}
    raise UnsupportedParameter("this tool_choice is not known", param="tool_choice")


def _text(body: RawObject, asked: Mapping[str, Any]) -> None:
    text: RawObject = {}
    wanted = asked.get("response_format", {"type": "text"})
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "json_object":
        text["format"] = {"type": kind}
    elif kind == "json_schema":
        inner = wanted.get("json_schema")
        if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
            raise UnsupportedParameter("json_schema needs a schema", param="response_format")
        text["format"] = {
            "type": kind,
            **{
                name: inner[name]
                for name in ("name", "description", "schema", "strict")
                if inner.get(name) is not None
            },
        }
    elif kind != "text":
        raise UnsupportedParameter("this response_format is not known", param="response_format")
    if "verbosity" in asked:
        text["verbosity"] = asked["verbosity"]
    if text:
        body["text"] = text
