"""OpenAI's request as Anthropic's: every field is honoured, harmless to drop, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from api.providers.asked import (
    asked_for,
    described_schema,
    function_declared,
    stop_texts,
    token_limit,
)
from api.providers.messages.content import open_turn_without_thoughts, system_and_messages
from api.providers.messages.models import ModelRules, rules_of
from api.providers.messages.schema import cleaned
from api.providers.port import ChatCall, RawObject, UnsupportedParameter

JSON_TOOL: Final = "answer_as_json"
"""Stands in for a response format on models that do not know one; unwrapped in the reply."""

BUDGET_MIN: Final = 1024
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 1024,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
_USER_ID_CHARS_MAX: Final = 256
JSON_ONLY: Final = "Answer with one JSON object and nothing else."

TRANSLATED: Final = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("stop", "temperature", "top_p", "top_k", "reasoning_effort", "thinking", "tools"),
        *("tool_choice", "parallel_tool_calls", "response_format", "user", "safety_identifier"),
        *("service_tier", "cache_control", "inference_geo", "speed"),
    }
)
_AS_THEY_ARE: Final = ("top_k", "cache_control", "inference_geo", "speed")
HARMLESS: Final = frozenset(
    {
        *("metadata", "prediction", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "seed", "store"),
    }
)
"""Dropped: they label, speed up or repeat an answer, but do not decide it."""


def request_body(call: ChatCall) -> RawObject:
    """The body for `/v1/messages`. Raises UnsupportedParameter naming the field."""
    asked = asked_for(call, TRANSLATED | HARMLESS, of="anthropic")
    rules = rules_of(call.model)
    system, turns = system_and_messages(asked.get("messages"))
    limit = token_limit(asked)
    body: RawObject = {
        "model": call.model,
        "messages": turns,
        "max_tokens": rules.max_tokens if limit is None else limit,
    }
    _tools(body, asked)
    _thinking(body, asked, rules, turns)
    _response_format(body, asked, rules, system)
    _tool_choice(body, asked, rules)
    _sampling(body, asked, rules)
    _labels(body, asked)
    if system:
        plain = len(system) == 1 and set(system[0]) == {"type", "text"}
        body["system"] = system[0]["text"] if plain else system
    # Anthropic refuses stops of white space alone.
    stops = [text for text in stop_texts(asked) if not isinstance(text, str) or text.strip()]
    if stops:
        body["stop_sequences"] = stops
    for name in _AS_THEY_ARE:
        if name in asked:
            body[name] = asked[name]
    if call.stream:
        body["stream"] = True
    return body


def stands_in_for_json(call: ChatCall) -> bool:
    """The answer will come as a call of `JSON_TOOL`."""
    return _schema(call.body) is not None and not rules_of(call.model).json_schema


def _thinking(
    body: RawObject, asked: Mapping[str, Any], rules: ModelRules, turns: list[RawObject]
) -> None:
    if "thinking" in asked:
        body["thinking"] = asked["thinking"]
        return
    effort = asked.get("reasoning_effort")
    if effort is None:
        return
    if effort == "none":
        if rules.thinking != "none":
            body["thinking"] = {"type": "disabled"}
        return
    if not isinstance(effort, str) or effort not in _BUDGETS or rules.thinking == "none":
        raise UnsupportedParameter(
            "this model cannot reason with this effort", param="reasoning_effort"
        )
    if rules.thinking == "adaptive":
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        level = "low" if effort == "minimal" else effort
        body["output_config"] = {"effort": level}
    elif not open_turn_without_thoughts(turns):
        budget = thinking_budget(effort, body["max_tokens"])
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    # Else: a model with a budget refuses to think on when the client dropped the thoughts that
    # led to the tool call; this one answer is given without.


def thinking_budget(effort: str, limit: Any) -> int:
    """Tokens to think with, within the limit of all output. Raises UnsupportedParameter."""
    budget = _BUDGETS[effort]
    if type(limit) is int and limit <= budget:
        budget = limit - 1
    if budget < BUDGET_MIN:
        raise UnsupportedParameter(
            f"reasoning needs a token limit above {BUDGET_MIN}", param="reasoning_effort"
        )
    return budget


def _thinks(body: RawObject) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive")


def _tools(body: RawObject, asked: Mapping[str, Any]) -> None:
    tools = asked.get("tools")
    if not tools:
        return
    if not isinstance(tools, list):
        raise UnsupportedParameter("tools must be a list", param="tools")
    body["tools"] = [_tool(tool, f"tools.{place}") for place, tool in enumerate(tools)]


def _tool(tool: Any, param: str) -> RawObject:
    function = function_declared(tool, param, of="anthropic")
    schema = function.get("parameters")
    schema = dict(schema) if isinstance(schema, Mapping) else {}
    schema.setdefault("type", "object")
    found: RawObject = {"name": function.get("name"), "input_schema": schema}
    if function.get("description"):
        found["description"] = function["description"]
    if function.get("strict") is True:
        found["strict"] = True
        found["input_schema"] = cleaned(schema, param=f"{param}.function.parameters")
    cache_control = tool.get("cache_control") or function.get("cache_control")
    if cache_control:
        found["cache_control"] = cache_control
    return found


def _tool_choice(body: RawObject, asked: Mapping[str, Any], rules: ModelRules) -> None:
    choice = _choice(asked.get("tool_choice"))
    alone = asked.get("parallel_tool_calls") is False
    if "tool_choice" in body or "tools" not in body or (choice is None and not alone):
        return
    choice = choice or {"type": "auto"}
    if choice["type"] in ("any", "tool") and (not rules.forced_choice or _thinks(body)):
        raise UnsupportedParameter(
            "this model cannot be forced to call a tool"
            + (" while it reasons" if rules.forced_choice else ""),
            param="tool_choice",
        )
    if alone and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    body["tool_choice"] = choice


def _choice(asked: Any) -> RawObject | None:
    if asked is None:
        return None
    words = {"auto": "auto", "required": "any", "none": "none"}
    if isinstance(asked, str) and asked in words:
        return {"type": words[asked]}
    if isinstance(asked, Mapping) and asked.get("type") == "function":
        function = asked.get("function")
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            return {"type": "tool", "name": function["name"]}
    raise UnsupportedParameter("this tool_choice cannot be honoured", param="tool_choice")


def _schema(asked: Mapping[str, Any]) -> RawObject | None:
    wanted = asked.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return None
    inner = wanted.get("json_schema")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        return None
    return described_schema(inner)


def _response_format(
    body: RawObject, asked: Mapping[str, Any], rules: ModelRules, system: list[RawObject]
) -> None:
    wanted = asked.get("response_format")
    if wanted is None or wanted == {"type": "text"}:
        return
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_object":
        system.append({"type": "text", "text": JSON_ONLY})
        return
    schema = _schema(asked)
    if schema is None:
        raise UnsupportedParameter("this response_format is not known", param="response_format")
    schema = cleaned(schema, param="response_format")
    if rules.json_schema:
        config = body.setdefault("output_config", {})
        config["format"] = {"type": "json_schema", "schema": schema}
        return
    if "tools" in body or _thinks(body):
        raise UnsupportedParameter(
            "this model cannot follow a schema together with tools or reasoning",
            param="response_format",
        )
    body["tools"] = [{"name": JSON_TOOL, "input_schema": schema}]
    body["tool_choice"] = {"type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True}


def _sampling(body: RawObject, asked: Mapping[str, Any], rules: ModelRules) -> None:
    for name in ("temperature", "top_p"):
        value = asked.get(name)
        if value is None or value == 1:
            # 1 is what happens anyway, and not every model takes it.
            continue
        if not rules.sampling or (name == "temperature" and _thinks(body)):
            raise UnsupportedParameter(f"this model takes no {name}", param=name)
        if name == "temperature" and isinstance(value, int | float) and value > 1:
            raise UnsupportedParameter("temperature may be 1 at most", param=name)
        body[name] = value
    if "top_k" in asked and not rules.sampling:
        raise UnsupportedParameter("this model takes no top_k", param="top_k")


def _labels(body: RawObject, asked: Mapping[str, Any]) -> None:
    user = asked.get("safety_identifier") or asked.get("user")
    if isinstance(user, str) and user:
        if "@" in user or len(user) > _USER_ID_CHARS_MAX:
            # Anthropic refuses addresses; the hash names the same person each time.
            user = hashlib.sha256(user.encode()).hexdigest()
        body["metadata"] = {"user_id": user}
    tier = asked.get("service_tier")
    if tier is None:
        return
    tiers = {"auto": "auto", "default": "standard_only"}
    if not isinstance(tier, str) or tier not in tiers:
        raise UnsupportedParameter("this service_tier is not sold", param="service_tier")
    body["service_tier"] = tiers[tier]
