"""Calls as the tests of Anthropic's requests make them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.messages.dialect import Messages
from api.providers.port import ChatCall, UnsupportedParameter
from tests.instants import AT

HI = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}
SONNET, OLD, ANCIENT = "claude-sonnet-4-6", "claude-sonnet-4-5-20250929", "claude-3-haiku-20240307"


def call(model: str, **body: Any) -> ChatCall:
    body.setdefault("messages", HI)
    return ChatCall(
        body={"model": model, **body},
        model=model,
        stream=body.get("stream", False),
        wants_usage=False,
        choices=1,
        at=AT,
    )


def sent(model: str = SONNET, **body: Any) -> dict[str, Any]:
    request = Messages().request(call(model, **body), {"apiKey": "sk-ant-x"}, "https://a.test")
    found: dict[str, Any] = json.loads(request.body)
    return found


def refused(model: str = SONNET, **body: Any) -> str:
    with pytest.raises(UnsupportedParameter) as caught:
        sent(model, **body)
    return caught.value.param


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(messages=list(messages))["messages"]
    return found


def assistant(*names: str, **more: Any) -> dict[str, Any]:
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": args}}
        for name, args in zip(names, ('{"a":1}', ""), strict=False)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}
