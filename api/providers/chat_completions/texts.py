"""The text of an answer in OpenAI's words, for estimates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from api.providers.lenient import json_object, objects, text_of

_SPOKEN: Final = ("content", "refusal", "reasoning_content", "reasoning")


def chat_received_text(objects: Iterable[bytes]) -> str:
    """All text in the choices of completions or chunks: spoken, thought, and tool calls."""
    return "".join(text for data in objects for text in _received(data))


def _received(data: bytes) -> Iterator[str]:
    for choice in objects((json_object(data) or {}).get("choices")):
        for name in ("delta", "message"):
            said = choice.get(name)
            if not isinstance(said, dict):
                continue
            for spoken in _SPOKEN:
                if spoken == "reasoning" and said.get("reasoning_content"):
                    # The same thoughts under their other name.
                    continue
                yield from _content(said.get(spoken))
            audio = said.get("audio")
            if isinstance(audio, dict):
                yield text_of(audio, "transcript")
            yield from _calls(said)


def _calls(message: Mapping[str, Any]) -> Iterator[str]:
    for call in objects(message.get("tool_calls")):
        for kind in ("function", "custom"):
            yield from _function(call.get(kind))
    yield from _function(message.get("function_call"))


def _function(called: Any) -> Iterator[str]:
    if isinstance(called, dict):
        for name in ("name", "arguments", "input"):
            yield text_of(called, name)


def _content(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in objects(content):
        for name in ("text", "refusal"):
            yield text_of(part, name)
