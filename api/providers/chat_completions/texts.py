"""The text of an answer in OpenAI's words, for estimates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from api.providers.lenient import loads

_SPOKEN: Final = ("content", "refusal", "reasoning_content", "reasoning")


def chat_received_text(objects: Iterable[bytes]) -> str:
    """All text in the choices of completions or chunks: spoken, thought, and tool calls."""
    return "".join(text for data in objects for text in _received(data))


def _received(data: bytes) -> Iterator[str]:
    try:
        found = loads(data)
    except ValueError:
        return
    if not isinstance(found, dict):
        return
    for choice in _dicts(found.get("choices")):
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
                yield _text(audio.get("transcript"))
            yield from _calls(said)


def _calls(message: Mapping[str, Any]) -> Iterator[str]:
    for call in _dicts(message.get("tool_calls")):
        for kind in ("function", "custom"):
            yield from _function(call.get(kind))
    yield from _function(message.get("function_call"))


def _function(called: Any) -> Iterator[str]:
    if isinstance(called, dict):
        for name in ("name", "arguments", "input"):
            yield _text(called.get(name))


def _content(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in _dicts(content):
        for name in ("text", "refusal"):
            yield _text(part.get(name))


def _dicts(found: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(found, list):
        for item in found:
            if isinstance(item, dict):
                yield item


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
