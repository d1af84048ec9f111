"""Calls as the tests of Gemini's requests make them, each body read by Google's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from pydantic import BaseModel, ConfigDict

from api.providers.gemini.dialect import Gemini
from api.providers.port import ChatCall, UnsupportedParameter
from tests.instants import AT

KEY = {"apiKey": "AQ.test-0123456789"}
HI = [{"role": "user", "content": "Hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
BEFORE, FLASH, PRO = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro"
FIRST_PRO, NEW_PRO, NEW_FLASH = "gemini-3-pro-preview", "gemini-3.1-pro-preview", "gemini-3.5-flash"


class Body(BaseModel):
    """What `generateContent` takes: the members that google-genai sends, with its own types."""

    model_config = ConfigDict(extra="forbid")

    contents: list[types.Content]
    systemInstruction: types.Content | None = None  # noqa: N815
    tools: list[types.Tool] | None = None
    toolConfig: types.ToolConfig | None = None  # noqa: N815
    generationConfig: types.GenerationConfig | None = None  # noqa: N815
    safetySettings: list[types.SafetySetting] | None = None  # noqa: N815
    cachedContent: str | None = None  # noqa: N815
    serviceTier: types.ServiceTier | None = None  # noqa: N815


def read_by_google(data: bytes | str) -> None:
    """Fails for a member that Google does not know, and for a name that is not in camelCase."""
    read = Body.model_validate_json(data)
    told = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert _names(told) == _names(json.loads(data))


def _names(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _names(value) for name, value in found.items()}
    return [_names(value) for value in found] if isinstance(found, list) else None


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
