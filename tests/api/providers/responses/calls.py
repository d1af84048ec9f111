"""Calls as the tests of Responses make them, and OpenAI's own word on what a request may hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter

from api.providers.port import ChatCall, UnsupportedParameter
from api.providers.responses.dialect import Responses
from tests.instants import AT

HI = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}
MODEL = "gpt-5.6-sol"
_PLAIN: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)
_STREAMED: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsStreaming)


def call(**body: Any) -> ChatCall:
    body.setdefault("messages", HI)
    return ChatCall(
        body={"model": MODEL, **body},
        model=MODEL,
        stream=body.get("stream", False),
        wants_usage=False,
        choices=1,
        at=AT,
    )


def sent(**body: Any) -> dict[str, Any]:
    request = Responses().request(call(**body), {"apiKey": "sk-x"}, "https://a.test/v1")
    found: dict[str, Any] = json.loads(request.body)
    return found


def items(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(messages=list(messages))["input"]
    return found


def refused(**body: Any) -> str:
    with pytest.raises(UnsupportedParameter) as caught:
        sent(**body)
    return caught.value.param


def assert_known_to_openai(body: dict[str, Any]) -> None:
    """The body has the form that OpenAI's SDK gives it, and no member that the SDK does not know.

    Reading into typed dictionaries leaves out what they do not know; so what was read must be all.
    """
    read = (_STREAMED if body.get("stream") else _PLAIN).validate_python(body)
    assert _plain(read) == body


def _plain(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {name: _plain(value) for name, value in found.items()}
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        return found
    return [_plain(item) for item in found]
