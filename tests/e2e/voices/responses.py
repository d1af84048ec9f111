"""OpenAI's Responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)

from tests.e2e.plan import CACHED, CITY, REASONED, Ask, Heard, Json, last_text
from tests.e2e.voices.schema import problems


class Responses:
    """`POST …/responses`."""

    stream_type = "text/event-stream"

    def hear(self, path: str, body: Json) -> Heard:
        if not path.partition("?")[0].endswith("/responses"):
            raise ValueError(path)
        turns = body["input"]
        return Heard(
            model=body["model"],
            stream=bool(body.get("stream")),
            text=turns
            if isinstance(turns, str)
            else last_text([turn for turn in turns if turn.get("role") == "user"]),
            tool=_tool(body),
        )

    def usage(self, ask: Ask) -> Json:
        return {
            "input_tokens": ask.prompt_tokens,
            "input_tokens_details": {"cached_tokens": CACHED},
            "output_tokens": ask.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": REASONED},
            "total_tokens": ask.prompt_tokens + ask.completion_tokens,
        }

    def whole(self, ask: Ask, *, text: str | None = None, usage: bool = True) -> bytes:
        return json.dumps(self._response(ask, text or "".join(ask.say), usage=usage)).encode()

    def said(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        begun = {**self._response(ask, "", usage=False), "status": "in_progress", "output": []}
        yield _event("response.created", response=begun)
        yield _event("response.in_progress", response=begun)
        item = {**_item(ask, ""), "status": "in_progress"}
        if ask.heard.tool:
            item["arguments"] = ""
        else:
            item["content"] = []
        yield _event("response.output_item.added", output_index=0, item=item)
        if not ask.heard.tool:
            part = {"type": "output_text", "text": "", "annotations": []}
            yield _event(
                "response.content_part.added",
                item_id="item_1",
                output_index=0,
                content_index=0,
                part=part,
            )
        for word in CITY if ask.heard.tool else ask.say:
            yield self._delta(ask, word)

    def delta(self, ask: Ask, text: str) -> bytes:
        return self._delta(ask, text)

    def finish(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        kind = "function_call_arguments" if ask.heard.tool else "output_text"
        name = "arguments" if ask.heard.tool else "text"
        said = "".join(CITY) if ask.heard.tool else "".join(ask.say)
        members: Json = {"item_id": "item_1", "output_index": 0, name: said}
        if not ask.heard.tool:
            members["content_index"] = 0
        yield _event(f"response.{kind}.done", **members)
        yield _event("response.output_item.done", output_index=0, item=_item(ask, "".join(ask.say)))

    def tail(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        yield _event(
            "response.completed", response=self._response(ask, "".join(ask.say), usage=usage)
        )

    def error(self, status: int, kind: str, code: str | None, message: str) -> bytes:
        error = {"message": message, "type": kind, "param": None, "code": code}
        return json.dumps({"error": error}).encode()

    def error_headers(self, status: int) -> dict[str, str]:
        return {}

    def error_inside(self, message: str) -> bytes:
        return _event("error", code="server_error", message=message, param=None)

    def problems(self, ask: Ask) -> list[str]:
        shape = ResponseCreateParamsStreaming if ask.stream else ResponseCreateParamsNonStreaming
        return problems(shape, ask.body)

    def _delta(self, ask: Ask, word: str) -> bytes:
        place: Json = {"item_id": "item_1", "output_index": 0, "delta": word}
        if ask.heard.tool:
            return _event("response.function_call_arguments.delta", **place)
        return _event("response.output_text.delta", content_index=0, logprobs=[], **place)

    def _response(self, ask: Ask, text: str, *, usage: bool) -> Json:
        return {
            "id": ask.identity,
            "object": "response",
            "created_at": 1764000000,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": ask.model,
            "output": [_item(ask, text)],
            "service_tier": "default",
            "usage": self.usage(ask) if usage else None,
        }


_NUMBERS = count()


def _event(kind: str, **members: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": next(_NUMBERS), **members})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def _item(ask: Ask, text: str) -> Json:
    if ask.heard.tool:
        return {
            "type": "function_call",
            "id": "item_1",
            "call_id": "call_1",
            "name": ask.heard.tool,
            "arguments": "".join(CITY),
            "status": "completed",
        }
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": "item_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _tool(body: Json) -> str | None:
    turns = body["input"]
    answered = isinstance(turns, list) and turns[-1].get("type") == "function_call_output"
    if answered or not body.get("tools"):
        return None
    name: str = body["tools"][0]["name"]
    return name
