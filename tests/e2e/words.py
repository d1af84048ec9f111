"""The words of the two protocols that the scripted upstream speaks: bodies, chunks, events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.e2e.plan import Ask, Json

WORDS: Final = tuple(f"word{number} " for number in range(12))


# --- OpenAI ---------------------------------------------------------------------------------


def openai_usage(ask: Ask) -> Json:
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": ask.completion_tokens,
        "total_tokens": ask.prompt_tokens + ask.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
    }


def openai_choice_message(ask: Ask, text: str) -> Json:
    if ask.body.get("tools"):
        called = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
        }
        return {"role": "assistant", "content": None, "tool_calls": [called]}
    return {"role": "assistant", "content": text, "refusal": None}


def openai_body(ask: Ask, *, text: str = "".join(WORDS), usage: bool = True) -> bytes:
    """A completion with odd white space and key order, so that a rewritten body shows."""
    reason = "tool_calls" if ask.body.get("tools") else "stop"
    found = {
        "object": "chat.completion",
        "id": ask.identity,
        "created": 1764000000,
        "model": ask.body["model"],
        "choices": [
            {
                "index": index,
                "message": openai_choice_message(ask, text),
                "logprobs": None,
                "finish_reason": reason,
            }
            for index in range(ask.body.get("n") or 1)
        ],
        "cost_hint": 0.10,
        "unknown_member": {"kept": [1, 2.50, "ü"]},
        "service_tier": "default",
    }
    if usage:
        found["usage"] = openai_usage(ask)
    return json.dumps(found, indent=3).encode() + b"\n"


def openai_chunk(ask: Ask, choices: list[Json], **more: Any) -> bytes:
    found = {
        "id": ask.identity,
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": ask.body["model"],
        "service_tier": "default",
        "choices": choices,
        **more,
    }
    return b"data: " + json.dumps(found).encode() + b"\n\n"


def openai_delta(ask: Ask, delta: Json, reason: str | None = None, index: int = 0) -> bytes:
    usage = {"usage": None} if asks_usage(ask) else {}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return openai_chunk(ask, [choice], **usage)


def asks_usage(ask: Ask) -> bool:
    return bool((ask.body.get("stream_options") or {}).get("include_usage"))


def openai_deltas(ask: Ask) -> Iterator[bytes]:
    """Everything up to and including the last word."""
    for index in range(ask.body.get("n") or 1):
        yield openai_delta(ask, {"role": "assistant", "content": ""}, index=index)
    if ask.body.get("tools"):
        function = {"name": "weather", "arguments": ""}
        start = {"index": 0, "id": "call_1", "type": "function", "function": function}
        yield openai_delta(ask, {"tool_calls": [start]})
        for piece in ('{"city"', ':"Ulm"}'):
            more = {"index": 0, "function": {"arguments": piece}}
            yield openai_delta(ask, {"tool_calls": [more]})
        return
    for word in WORDS:
        for index in range(ask.body.get("n") or 1):
            yield openai_delta(ask, {"content": word}, index=index)


def openai_finish(ask: Ask) -> Iterator[bytes]:
    reason = "tool_calls" if ask.body.get("tools") else "stop"
    for index in range(ask.body.get("n") or 1):
        yield openai_delta(ask, {}, reason, index=index)


def openai_tail(ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
    if usage and asks_usage(ask):
        yield openai_chunk(ask, [], usage=openai_usage(ask))
    yield b"data: [DONE]\n\n"


# --- Anthropic ------------------------------------------------------------------------------


def anthropic_usage(ask: Ask) -> Json:
    return {
        "input_tokens": ask.prompt_tokens - 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 7,
        "output_tokens": ask.completion_tokens,
        "service_tier": "standard",
    }


def anthropic_blocks(ask: Ask, text: str) -> list[Json]:
    if ask.body.get("tools"):
        return [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}}]
    return [{"type": "text", "text": text}]


def anthropic_body(ask: Ask, *, text: str = "".join(WORDS), usage: bool = True) -> bytes:
    found = {
        "id": ask.identity,
        "type": "message",
        "role": "assistant",
        "model": ask.body["model"],
        "content": anthropic_blocks(ask, text),
        "stop_reason": "tool_use" if ask.body.get("tools") else "end_turn",
        "stop_sequence": None,
    }
    if usage:
        found["usage"] = anthropic_usage(ask)
    return json.dumps(found).encode()


def anthropic_event(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, **members})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def anthropic_deltas(ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
    message: Json = {
        "id": ask.identity,
        "type": "message",
        "role": "assistant",
        "model": ask.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if usage:
        message["usage"] = {**anthropic_usage(ask), "output_tokens": 1}
    yield anthropic_event("message_start", message=message)
    tools = bool(ask.body.get("tools"))
    block: Json = {"type": "text", "text": ""}
    if tools:
        block = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    yield anthropic_event("content_block_start", index=0, content_block=block)
    yield anthropic_event("ping")
    for word in ('{"city"', ':"Ulm"}') if tools else WORDS:
        delta = (
            {"type": "input_json_delta", "partial_json": word}
            if tools
            else {"type": "text_delta", "text": word}
        )
        yield anthropic_event("content_block_delta", index=0, delta=delta)


def anthropic_finish(ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
    yield anthropic_event("content_block_stop", index=0)
    reason = "tool_use" if ask.body.get("tools") else "end_turn"
    members: Json = {"delta": {"stop_reason": reason, "stop_sequence": None}}
    if usage:
        members["usage"] = {"output_tokens": ask.completion_tokens}
    yield anthropic_event("message_delta", **members)


def anthropic_tail() -> Iterator[bytes]:
    yield anthropic_event("message_stop")
