"""OpenAI's request as Gemini's: every field is honoured, harmless to drop, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.asked import (
    asked_for,
    described_schema,
    function_declared,
    messages_of,
    stop_texts,
    token_limit,
)
from api.providers.gemini.content import Conversation
from api.providers.gemini.models import ModelRules, rules_of
from api.providers.gemini.schema import cleaned
from api.providers.port import ChatCall, RawObject, UnsupportedParameter

TRANSLATED: Final = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("stop", "seed", "n", "logprobs", "top_logprobs", "temperature", "top_p", "top_k"),
        *("presence_penalty", "frequency_penalty", "reasoning_effort", "tools", "tool_choice"),
        *("parallel_tool_calls", "response_format", "service_tier", "modalities"),
        *("web_search_options", "extra_body"),
    }
)
HARMLESS: Final = frozenset(
    {
        *("metadata", "user", "safety_identifier", "store", "prediction", "prompt_cache_key"),
        *("prompt_cache_options", "prompt_cache_retention", "cache_control"),
    }
)
"""Dropped: they label or speed up an answer, but do not decide it."""
_AS_NUMBERS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_USUAL: Final[Mapping[str, Any]] = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""Not sent with these values: it is what happens anyway, and not every model takes the field."""
_TIERS: Final = {"default": "standard", "flex": "flex", "priority": "priority"}
_EXTRAS: Final = {
    "thinking_config": "thinkingConfig",
    "cached_content": "cachedContent",
    "safety_settings": "safetySettings",
}
"""What Google's own OpenAI endpoint takes in `extra_body.google`, and safety settings."""
_THINKING: Final = {
    "include_thoughts": "includeThoughts",
    "thinking_budget": "thinkingBudget",
    "thinking_level": "thinkingLevel",
}
_LABELS: Final = frozenset({"$schema", "title", "description"})
_SEED_MASK: Final = 2**31 - 1


def request_body(call: ChatCall) -> RawObject:
    """The body for `generateContent`. Raises UnsupportedParameter naming the field."""
    asked = asked_for(call, TRANSLATED | HARMLESS, of="google")
    rules = rules_of(call.model)
    body = _conversation(asked, rules)
    config: RawObject = {}
    _tools(body, asked)
    _sampling(config, asked)
    _thinking(config, asked, rules)
    _response_format(config, asked)
    _modalities(config, asked)
    _tier(body, asked)
    _extras(body, config, asked)
    if config:
        body["generationConfig"] = config
    return body


def _conversation(asked: Mapping[str, Any], rules: ModelRules) -> RawObject:
    talk = Conversation(wants_signatures=rules.wants_signatures)
    for param, message in messages_of(asked.get("messages")):
        talk.take(message, param)
    if not talk.contents:
        # Gemini answers nobody: a system message alone is what the user says.
        return {"contents": [{"role": "user", "parts": talk.system}]}
    body: RawObject = {"contents": talk.contents}
    if talk.system:
        body["systemInstruction"] = {"parts": talk.system}
    return body


def _tools(body: RawObject, asked: Mapping[str, Any]) -> None:
    tools = asked.get("tools") or []
    if not isinstance(tools, list):
        raise UnsupportedParameter("tools must be a list", param="tools")
    declared = [_declaration(tool, f"tools.{place}") for place, tool in enumerate(tools)]
    search = asked.get("web_search_options")
    if search is not None:
        if declared:
            raise UnsupportedParameter(
                "google is not asked to search and to call functions in one answer",
                param="web_search_options",
            )
        if not isinstance(search, Mapping) or search.get("user_location"):
            raise UnsupportedParameter(
                "google takes no user_location", param="web_search_options.user_location"
            )
        body["tools"] = [{"googleSearch": {}}]
    if declared:
        body["tools"] = [{"functionDeclarations": declared}]
        choice = _choice(asked.get("tool_choice"), strict=_any_strict(tools))
        if choice:
            body["toolConfig"] = {"functionCallingConfig": choice}


def _declaration(tool: Any, param: str) -> RawObject:
    function = function_declared(tool, param, of="google")
    found: RawObject = {"name": function.get("name")}
    if function.get("description"):
        found["description"] = function["description"]
    schema = function.get("parameters")
    if isinstance(schema, Mapping) and not _takes_nothing(schema):
        found["parametersJsonSchema"] = cleaned(dict(schema), param=f"{param}.function.parameters")
    return found


def _takes_nothing(schema: Mapping[str, Any]) -> bool:
    """An object without properties: Gemini wants no schema then."""
    told = {name for name, value in schema.items() if value and name not in _LABELS}
    return told <= {"type"}


def _any_strict(tools: list[Any]) -> bool:
    return any(tool["function"].get("strict") is True for tool in tools)


def _choice(asked: Any, *, strict: bool) -> RawObject | None:
    """VALIDATED is AUTO with arguments that keep to the schema, as ANY always does."""
    if asked is None or asked == "auto":
        return {"mode": "VALIDATED"} if strict else None
    if asked in ("required", "none"):
        return {"mode": "ANY" if asked == "required" else "NONE"}
    if isinstance(asked, Mapping) and asked.get("type") == "function":
        return {"mode": "ANY", "allowedFunctionNames": [_function_name(asked)]}
    if isinstance(asked, Mapping) and asked.get("type") == "allowed_tools":
        allowed = asked.get("allowed_tools")
        tools = allowed.get("tools") if isinstance(allowed, Mapping) else None
        if isinstance(allowed, Mapping) and isinstance(tools, list):
            mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
            return {"mode": mode, "allowedFunctionNames": [_function_name(tool) for tool in tools]}
    raise UnsupportedParameter("this tool_choice cannot be honoured", param="tool_choice")


def _function_name(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise UnsupportedParameter("google takes functions only", param="tool_choice")
    return name


def _sampling(config: RawObject, asked: Mapping[str, Any]) -> None:
    for name, theirs in _AS_NUMBERS.items():
        if name in asked and asked[name] != _USUAL.get(name):
            config[theirs] = asked[name]
    limit = token_limit(asked)
    if limit is not None:
        config["maxOutputTokens"] = limit
    stops = stop_texts(asked)
    if stops:
        config["stopSequences"] = stops
    seed = asked.get("seed")
    if seed is not None:
        # Gemini's seed has 32 bits; the same seed still gives the same one.
        config["seed"] = seed & _SEED_MASK if type(seed) is int else seed
    if asked.get("logprobs"):
        config["responseLogprobs"] = True
    if asked.get("top_logprobs"):
        config["logprobs"] = asked["top_logprobs"]


def _thinking(config: RawObject, asked: Mapping[str, Any], rules: ModelRules) -> None:
    effort = asked.get("reasoning_effort")
    if effort is None:
        return
    if rules.levels is None and rules.budgets is None and effort == "none":
        return
    known: Mapping[str, Any] = rules.levels or rules.budgets or {}
    if not isinstance(effort, str) or effort not in known:
        raise UnsupportedParameter(
            "this model cannot reason with this effort", param="reasoning_effort"
        )
    field = "thinkingBudget" if rules.levels is None else "thinkingLevel"
    config["thinkingConfig"] = {field: known[effort]}
    if effort != "none":
        config["thinkingConfig"]["includeThoughts"] = True


def _response_format(config: RawObject, asked: Mapping[str, Any]) -> None:
    wanted = asked.get("response_format")
    if wanted is None or wanted == {"type": "text"}:
        return
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "json_object":
        config["responseMimeType"] = "application/json"
        return
    inner = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    if (
        kind != "json_schema"
        or not isinstance(inner, Mapping)
        or not isinstance(inner.get("schema"), Mapping)
    ):
        raise UnsupportedParameter("this response_format is not known", param="response_format")
    config["responseMimeType"] = "application/json"
    config["responseJsonSchema"] = cleaned(described_schema(inner), param="response_format")


def _modalities(config: RawObject, asked: Mapping[str, Any]) -> None:
    wanted = asked.get("modalities")
    if wanted is None or wanted == ["text"]:
        return
    if not isinstance(wanted, list) or not all(kind in ("text", "image") for kind in wanted):
        raise UnsupportedParameter("google answers in text and images", param="modalities")
    config["responseModalities"] = [kind.upper() for kind in wanted]


def _tier(body: RawObject, asked: Mapping[str, Any]) -> None:
    tier = asked.get("service_tier")
    if tier is None or tier == "auto":
        return
    if not isinstance(tier, str) or tier not in _TIERS:
        raise UnsupportedParameter("this service_tier is not sold", param="service_tier")
    body["serviceTier"] = _TIERS[tier]


def _extras(body: RawObject, config: RawObject, asked: Mapping[str, Any]) -> None:
    """`extra_body.google`, as Google's own OpenAI endpoint takes it."""
    extra = asked.get("extra_body")
    if extra is None:
        return
    google = (
        extra.get("google") if isinstance(extra, Mapping) and set(extra) == {"google"} else None
    )
    if not isinstance(google, Mapping) or not set(google) <= set(_EXTRAS):
        raise UnsupportedParameter(
            f"extra_body.google may hold {', '.join(_EXTRAS)} only", param="extra_body"
        )
    for name in ("cached_content", "safety_settings"):
        if google.get(name) is not None:
            body[_EXTRAS[name]] = google[name]
    thinking = google.get("thinking_config")
    if thinking is None:
        return
    if "thinkingConfig" in config:
        raise UnsupportedParameter(
            "give reasoning_effort or a thinking_config, not both", param="reasoning_effort"
        )
    if not isinstance(thinking, Mapping) or not set(thinking) <= set(_THINKING):
        raise UnsupportedParameter(
            f"thinking_config may hold {', '.join(_THINKING)} only", param="extra_body"
        )
    config["thinkingConfig"] = {_THINKING[name]: value for name, value in thinking.items()}
