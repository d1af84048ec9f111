"""OpenAI's chat completions, and how its imitators differ in where they tell usage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.e2e.plan import CACHED, CITY, REASONED, Ask, Heard, Json, last_text
from tests.e2e.voices.schema import problems

Place = Literal["asked", "always", "finish", "after", "thrice"]
"""Where a stream tells its usage (PROVIDERS.md 1.3): in a last chunk if asked, in one always, on
the finish chunk, in a chunk with choices after it, or three times."""


@dataclass(frozen=True)
class Chat:
    """`POST …/chat/completions`."""

    usage_at: Place = "asked"
    cached_at_top: bool = False
    extras: frozenset[str] = frozenset()
    """Fields of the request that this provider knows and OpenAI does not."""
    more_usage: Mapping[str, Any] = field(default_factory=dict)
    stream_type: str = "text/event-stream"

    def hear(self, path: str, body: Json) -> Heard:
        if not path.partition("?")[0].endswith("/chat/completions"):
            raise ValueError(path)
        return Heard(
            model=body["model"],
            stream=bool(body.get("stream")),
            text=last_text(body["messages"]),
            tool=_tool(body),
            choices=body.get("n") or 1,
        )

    def usage(self, ask: Ask) -> Json:
        found: Json = {
            "prompt_tokens": ask.prompt_tokens,
            "completion_tokens": ask.completion_tokens,
            "total_tokens": ask.prompt_tokens + ask.completion_tokens,
            "completion_tokens_details": {"reasoning_tokens": REASONED, "audio_tokens": 0},
            **self.more_usage,
        }
        if self.cached_at_top:
            return {**found, "cached_tokens": CACHED}
        return {**found, "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0}}

    def whole(self, ask: Ask, *, text: str | None = None, usage: bool = True) -> bytes:
        """A completion with odd white space and key order, so that a rewritten body shows."""
        found = {
            "object": "chat.completion",
            "id": ask.identity,
            "created": 1764000000,
            "model": ask.model,
            "choices": [
                {
                    "index": index,
                    "message": _message(ask, text or "".join(ask.say)),
                    "logprobs": None,
                    "finish_reason": _reason(ask),
                }
                for index in range(ask.heard.choices)
            ],
            "cost_hint": 0.10,
            "unknown_member": {"kept": [1, 2.50, "ü"]},
            "service_tier": "default",
        }
        if usage:
            found["usage"] = self.usage(ask)
        return json.dumps(found, indent=3).encode() + b"\n"

    def chunk(self, ask: Ask, choices: list[Json], **more: Any) -> bytes:
        found = {
            "id": ask.identity,
            "object": "chat.completion.chunk",
            "created": 1764000000,
            "model": ask.model,
            "service_tier": "default",
            "choices": choices,
            **more,
        }
        return b"data: " + json.dumps(found).encode() + b"\n\n"

    def said(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        for index in range(ask.heard.choices):
            yield self._delta(ask, {"role": "assistant", "content": ""}, index=index)
        if ask.heard.tool:
            function = {"name": ask.heard.tool, "arguments": ""}
            start = {"index": 0, "id": "call_1", "type": "function", "function": function}
            yield self._delta(ask, {"tool_calls": [start]})
            for piece in CITY:
                more = {"index": 0, "function": {"arguments": piece}}
                yield self._delta(ask, {"tool_calls": [more]})
            return
        for word in ask.say:
            for index in range(ask.heard.choices):
                yield self._delta(ask, {"content": word}, index=index)

    def delta(self, ask: Ask, text: str) -> bytes:
        return self._delta(ask, {"content": text})

    def finish(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        last = ask.heard.choices - 1
        for index in range(ask.heard.choices):
            more: Json = {}
            if usage and index == last and self.usage_at in {"finish", "thrice"}:
                more["usage"] = self.usage(ask)
            if usage and index == last and self.usage_at == "thrice":
                more["x_groq"] = {"id": "req_1", "usage": self.usage(ask)}
            yield self._delta(ask, {}, _reason(ask), index=index, **more)

    def tail(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        if usage and self.usage_at == "after":
            yield b": PROCESSING\n\n"
            yield self._delta(
                ask, {"role": "assistant", "content": ""}, _reason(ask), usage=self.usage(ask)
            )
        elif usage and (
            self.usage_at == "always" or (self.usage_at in {"asked", "thrice"} and asks_usage(ask))
        ):
            yield self.chunk(ask, [], usage=self.usage(ask))
        yield b"data: [DONE]\n\n"

    def error(self, status: int, kind: str, code: str | None, message: str) -> bytes:
        error = {"message": message, "type": kind, "param": None, "code": code}
        return json.dumps({"error": error}).encode()

    def error_headers(self, status: int) -> dict[str, str]:
        return {}

    def error_inside(self, message: str) -> bytes:
        error = {"message": message, "type": "server_error", "code": None}
        return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"

    def problems(self, ask: Ask) -> list[str]:
        shape = (
            CompletionCreateParamsStreaming if ask.stream else CompletionCreateParamsNonStreaming
        )
        known = {f"body.{name}: unknown field" for name in self.extras}
        return [each for each in problems(shape, ask.body) if each not in known]

    def _delta(
        self, ask: Ask, delta: Json, reason: str | None = None, index: int = 0, **more: Any
    ) -> bytes:
        usage = {"usage": None} if asks_usage(ask) else {}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self.chunk(ask, [choice], **{**usage, **more})


def asks_usage(ask: Ask) -> bool:
    return bool((ask.body.get("stream_options") or {}).get("include_usage"))


def _reason(ask: Ask) -> str:
    return "tool_calls" if ask.heard.tool else "stop"


def _message(ask: Ask, text: str) -> Json:
    if ask.heard.tool:
        called = {
            "id": "call_1",
            "type": "function",
            "function": {"name": ask.heard.tool, "arguments": "".join(CITY)},
        }
        return {"role": "assistant", "content": None, "tool_calls": [called]}
    return {"role": "assistant", "content": text, "refusal": None}


def _tool(body: Json) -> str | None:
    if not body.get("tools") or body["messages"][-1]["role"] == "tool":
        return None
    name: str = body["tools"][0]["function"]["name"]
    return name
