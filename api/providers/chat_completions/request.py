"""OpenAI's request as one provider takes it: every field goes up, is harmless to drop, or refused.

Nothing is checked that the provider answers well with a 400 of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.asked import NEUTRAL, described_schema
from api.providers.chat_completions.messages import messages_for, tools_for
from api.providers.chat_completions.options import ChatOptions
from api.providers.port import ChatCall, RawObject, UnsupportedParameter

_LIMITS: Final = ("max_completion_tokens", "max_tokens")
"""The first that is given counts, as at OpenAI."""

_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    **NEUTRAL,
    "function_call": ("none", "auto"),
    "plugins": ([],),
}
"""Dropped where the field is refused with any other value."""

HARMLESS: Final = frozenset(
    {
        *("metadata", "store", "user", "safety_identifier", "service_tier", "prediction"),
    }
)
"""OpenAI's fields that label, speed up or price an answer, but do not decide it."""

CACHING: Final = frozenset(
    {
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        "cache_control",
    }
)
"""Advice on what to keep for later calls."""

GATEWAY: Final = frozenset(
    {"models", "route", "provider", "transforms", "usage", "preset", "providerOptions"}
)
"""How OpenRouter and Vercel are told where to send a call: without meaning anywhere else."""


def body_for(call: ChatCall, options: ChatOptions, model: str) -> RawObject:
    """The upstream body. Raises UnsupportedParameter naming the field."""
    body = _understood(call.body, options)
    body["model"] = model
    body["messages"] = messages_for(body.get("messages"), options.messages)
    if "tools" in body:
        body["tools"] = tools_for(body["tools"], options.messages)
    _limit(body, options)
    _stream_options(body, call, options)
    _response_format(body, options)
    for name, words in options.values.items():
        said = body.get(name)
        word = words.get(said, said) if isinstance(said, str) else said
        if word is not None:
            body[name] = word
        else:
            body.pop(name, None)
    for name, value in options.add.items():
        if body.get(name) is None:
            body[name] = value
    return body


def _understood(asked: Mapping[str, Any], options: ChatOptions) -> RawObject:
    body: RawObject = {}
    for name, value in asked.items():
        known = options.only is None or name in options.only
        if name in options.drop or (value is None and options.messages.strict):
            continue
        if known and name not in options.refuse:
            body[name] = value
        elif value is not None and value not in _NEUTRAL.get(name, ()):
            shown = name[:40]
            raise UnsupportedParameter(
                f"this provider cannot honour {shown!r}; leave it out", param=shown
            )
    return body


def _limit(body: RawObject, options: ChatOptions) -> None:
    if options.limit_field is None:
        return
    given = [body.pop(name) for name in _LIMITS if name in body]
    limit = next((value for value in given if value is not None), None)
    if limit is not None:
        body[options.limit_field] = limit


def _stream_options(body: RawObject, call: ChatCall, options: ChatOptions) -> None:
    """Only on streams: without one, OpenAI and NVIDIA answer 400."""
    asked = body.pop("stream_options", None)
    if not call.stream:
        return
    asked = asked if isinstance(asked, dict) else {}
    sent: RawObject = {}
    if options.obfuscation and asked.get("include_obfuscation") is not None:
        sent["include_obfuscation"] = asked["include_obfuscation"]
    declined = options.usage_may_be_declined and asked.get("include_usage") is False
    if options.ask_usage and not declined:
        sent["include_usage"] = True
    if sent:
        body["stream_options"] = sent


def _response_format(body: RawObject, options: ChatOptions) -> None:
    asked = body.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return
    if body.get("tools") and not options.schema_with_tools:
        raise UnsupportedParameter(
            "this provider takes a JSON schema or tools, not both", param="response_format"
        )
    given = asked.get("json_schema")
    if options.schema_in_json_object and isinstance(given, dict) and "schema" in given:
        whole = isinstance(given["schema"], dict)
        schema = described_schema(given) if whole else given["schema"]
        body["response_format"] = {"type": "json_object", "schema": schema}
