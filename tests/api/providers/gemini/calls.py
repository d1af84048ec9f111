"""Calls as the tests of Gemini's requests make them, each body read by Google's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.gemini.dialect import Gemini
from api.providers.port import ChatCall, UnsupportedParameter
from tests.e2e.voices.google_types import read_by_google
from tests.instants import AT

KEY = {"apiKey": "AQ.test-0123456789"}
HI = [{"role": "user", "content": "Hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
BEFORE, FLASH, PRO = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro"
FIRST_PRO, NEW_PRO, NEW_FLASH = "gemini-3-pro-preview", "gemini-3.1-pro-preview", "gemini-3.5-flash"


def call(model: str = FLASH, **body: Any) -> ChatCall:
    body.setdefault("messages", HI)
    return ChatCall(
        body={"model": model, **body},
        model=model,
        stream=body.get("stream", False),
        wants_usage=False,
        choices=body.get("n", 1),
        at=AT,
    )


def sent(model: str = FLASH, **body: Any) -> dict[str, Any]:
    request = Gemini().request(call(model, **body), KEY, "https://g.test")
    read_by_google(request.body)
    found: dict[str, Any] = json.loads(request.body)
    return found


def config(model: str = FLASH, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = sent(model, **body).get("generationConfig", {})
    return found


def refused(model: str = FLASH, **body: Any) -> str:
    with pytest.raises(UnsupportedParameter) as caught:
        sent(model, **body)
    return caught.value.param


def calls(*named: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """An assistant's message with tool calls: (id, name, arguments)."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": identity, "type": "function", "function": {"name": name, "arguments": args}}
            for identity, name, args in named
        ],
        **more,
    }


def result(identity: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}
