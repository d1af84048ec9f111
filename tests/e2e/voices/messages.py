"""Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)

from tests.e2e.plan import CACHED, CITY, Ask, Heard, Json, last_text
from tests.e2e.voices.schema import problems

_SAMPLING: Final = {"temperature", "top_p", "top_k"}
"""The SDK declares them no more; models before Sonnet 5 take them (PROVIDERS.md 4.1)."""


class Messages:
    """`POST /v1/messages`."""

    stream_type = "text/event-stream"

    def hear(self, path: str, body: Json) -> Heard:
        if path != "/v1/messages":
            raise ValueError(path)
        return Heard(
            model=body["model"],
            stream=bool(body.get("stream")),
            text=last_text(body["messages"]),
            tool=_tool(body),
        )

    def usage(self, ask: Ask) -> Json:
        return {
            "input_tokens": ask.prompt_tokens - CACHED,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": CACHED,
            "output_tokens": ask.completion_tokens,
            "service_tier": "standard",
        }

    def whole(self, ask: Ask, *, text: str | None = None, usage: bool = True) -> bytes:
        called = {
            "type": "tool_use",
            "id": "toolu_1",
            "name": ask.heard.tool,
            "input": {"city": "Ulm"},
        }
        found = {
            **_message(ask),
            "content": [
                called if ask.heard.tool else {"type": "text", "text": text or "".join(ask.say)}
            ],
            "stop_reason": _reason(ask),
        }
        if usage:
            found["usage"] = self.usage(ask)
        return json.dumps(found).encode()

    def said(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        message = {**_message(ask), "content": [], "stop_reason": None}
        if usage:
            message["usage"] = {**self.usage(ask), "output_tokens": 1}
        yield event("message_start", message=message)
        block: Json = {"type": "text", "text": ""}
        if ask.heard.tool:
            block = {"type": "tool_use", "id": "toolu_1", "name": ask.heard.tool, "input": {}}
        yield event("content_block_start", index=0, content_block=block)
        yield event("ping")
        for word in CITY if ask.heard.tool else ask.say:
            yield self._delta(ask, word)

    def delta(self, ask: Ask, text: str) -> bytes:
        return self._delta(ask, text)

    def finish(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        yield event("content_block_stop", index=0)
        members: Json = {"delta": {"stop_reason": _reason(ask), "stop_sequence": None}}
        if usage:
            members["usage"] = {"output_tokens": ask.completion_tokens}
        yield event("message_delta", **members)

    def tail(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        yield event("message_stop")

    def error(self, status: int, kind: str, code: str | None, message: str) -> bytes:
        error = {"message": message, "type": kind, "param": None, "code": code}
        return json.dumps({"type": "error", "error": error}).encode()

    def error_headers(self, status: int) -> dict[str, str]:
        return {}

    def error_inside(self, message: str) -> bytes:
        return event("error", error={"type": "overloaded_error", "message": message})

    def problems(self, ask: Ask) -> list[str]:
        shape = MessageCreateParamsStreaming if ask.stream else MessageCreateParamsNonStreaming
        body = {name: value for name, value in ask.body.items() if name not in _SAMPLING}
        return problems(shape, body)

    def _delta(self, ask: Ask, word: str) -> bytes:
        delta = {"type": "text_delta", "text": word}
        if ask.heard.tool:
            delta = {"type": "input_json_delta", "partial_json": word}
        return event("content_block_delta", index=0, delta=delta)


def event(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, **members})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _reason(ask: Ask) -> str:
    return "tool_use" if ask.heard.tool else "end_turn"


def _message(ask: Ask) -> Json:
    return {
        "id": ask.identity,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "stop_sequence": None,
    }


def _tool(body: Json) -> str | None:
    said = body["messages"][-1]["content"]
    answered = isinstance(said, list) and any(part["type"] == "tool_result" for part in said)
    if answered or not body.get("tools"):
        return None
    name: str = body["tools"][0]["name"]
    return name
