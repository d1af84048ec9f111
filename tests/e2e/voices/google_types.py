"""What Google's own types say of a request to Gemini."""

from __future__ import annotations

import json
from typing import Any

from google.genai import types
from pydantic import BaseModel, ConfigDict


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
