"""Anthropic's stream of typed events as OpenAI's stream of chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from api.providers.chunks import created, openai_usage
from api.providers.failures import classify_inside, unreadable
from api.providers.lenient import json_object, text_of
from api.providers.messages.reply import (
    START_USAGE,
    block_index,
    finish_reason,
    redacted_thought,
    refusal_of,
    settle,
    thought,
)
from api.providers.messages.request import JSON_TOOL
from api.providers.port import ChatCall, Chunk, Headers, Outcome, ProviderFailure, RawObject
from api.providers.sse import SseDecoder, SseEvent
from api.providers.usage import told_word


class StreamReader:
    """Reads a stream of events and writes chunks."""

    def __init__(self, call: ChatCall, headers: Headers, *, unwrap_json: bool) -> None:
        self._call = call
        self._created = created(headers)
        self._unwrap_json = unwrap_json
        self._events = SseDecoder()
        self._outcome = Outcome()
        self._head = b""
        self._reports: list[tuple[Any, bytes, tuple[str, ...]]] = []
        self._blocks: dict[int, _Block] = {}
        self._tools = 0
        self._said: list[str] = []
        self._stop_reason: str | None = None
        self._refusal: str | None = None
        self._finish_given = False
        self._done = False
        self._any_bytes = False
        self._tail: list[Chunk] = []

    @property
    def done(self) -> bool:
        """`message_stop` was seen."""
        return self._done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The chunks that these bytes complete."""
        self._any_bytes = self._any_bytes or bool(data)
        chunks: list[Chunk] = []
        for event in self._events.feed(data):
            self._take(event, chunks)
        return chunks

    def finish(self) -> Outcome:
        """What was read. An answer whose reason to stop was told lacks nothing but its end."""
        tail: list[Chunk] = []
        event = self._events.pending()
        if event is not None and json_object(event[1]) is not None:
            self._events.drop_pending()
            self._take(event, tail)
            self._tail.extend(tail)
        outcome = self._outcome
        outcome.ended = self._done
        self._settle()
        tail = list(self._tail)
        if not self._done and self._stop_reason is not None and outcome.failure is None:
            tail += self._usage_chunk()
        outcome.tail = tuple(tail)
        if outcome.failure is None and not self._head and self._any_bytes:
            outcome.failure = unreadable("The provider's answer is not an event stream.")
        return outcome

    def received_text(self) -> str:
        """What the model said so far."""
        return "".join(self._said)

    def _take(self, event: SseEvent, chunks: list[Chunk]) -> None:
        if self._done:
            return
        found = json_object(event[1])
        if found is None:
            self._fail(unreadable("The provider's stream holds something that is not an event."))
            return
        kind = found.get("type")
        if kind == "error" or (kind is None and found.get("error")):
            self._fail(classify_inside(found))
        elif self._outcome.failure is None and isinstance(kind, str):
            handle = _HANDLERS.get(kind)
            if handle is not None:
                handle(self, found, event[1], chunks)

    def _start(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        message = found.get("message")
        if not isinstance(message, dict) or self._head:
            return
        outcome = self._outcome
        outcome.upstream_id = told_word(message.get("id"))
        outcome.model = told_word(message.get("model"))
        self._head = _envelope(
            {
                "id": outcome.upstream_id or "",
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": outcome.model or self._call.model,
            }
        )
        self._reports.append((message.get("usage"), data, START_USAGE))
        self._emit(chunks, {"role": "assistant", "content": ""})

    def _block_start(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        given = found.get("content_block")
        if not isinstance(given, dict):
            return
        kind = str(given.get("type"))
        block = self._blocks[block_index(found)] = _Block(kind)
        if kind == "tool_use":
            name = str(given.get("name"))
            block.is_json = self._unwrap_json and name == JSON_TOOL
            self._outcome.generated = True
            if not block.is_json:
                block.tool = self._tools
                self._tools += 1
                self._said.append(name)
                called = {"name": name, "arguments": ""}
                self._emit_call(
                    chunks, block, {"id": given.get("id"), "type": "function", "function": called}
                )
        elif kind == "redacted_thinking":
            self._outcome.generated = True
            self._emit(chunks, {"reasoning_details": [redacted_thought(given, block_index(found))]})
        elif kind == "text" and given.get("text"):
            self._speak(chunks, "content", str(given["text"]))

    def _block_delta(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        delta = found.get("delta")
        block = self._blocks.get(block_index(found))
        if not isinstance(delta, dict) or block is None:
            return
        kind = delta.get("type")
        if kind == "text_delta":
            self._speak(chunks, "content", text_of(delta, "text"))
        elif kind == "thinking_delta":
            text = text_of(delta, "thinking")
            block.thoughts.append(text)
            self._speak(chunks, "reasoning_content", text)
        elif kind == "signature_delta":
            block.signature += text_of(delta, "signature")
        elif kind == "input_json_delta" and block.kind == "tool_use":
            self._arguments(chunks, block, text_of(delta, "partial_json"))

    def _block_stop(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        index = block_index(found)
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.kind == "tool_use" and not block.any_arguments:
            self._arguments(chunks, block, "{}")
        if block.kind == "thinking" and block.signature:
            self._outcome.generated = True
            detail = thought("".join(block.thoughts), block.signature, index)
            self._emit(chunks, {"reasoning_details": [detail]})

    def _message_delta(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        delta = found.get("delta")
        if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
            self._stop_reason = delta["stop_reason"]
            self._refusal = refusal_of(delta)
            self._finish(chunks)
        usage = found.get("usage")
        if isinstance(usage, dict):
            # The counts grow from one report to the next: the last one holds them all.
            del self._reports[1:]
            self._reports.append((usage, data, ("usage",)))

    def _message_stop(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        self._done = True
        self._settle()
        self._finish(chunks)
        chunks.extend(self._usage_chunk())

    def _finish(self, chunks: list[Chunk]) -> None:
        """The last chunk with choices, once."""
        if self._finish_given or not self._head:
            return
        self._finish_given = True
        reason = finish_reason(self._stop_reason, unwrap_json=self._unwrap_json)
        delta = {}
        if reason == "content_filter" and self._refusal:
            delta["refusal"] = self._refusal
        chunks.append(Chunk(self._chunk(delta, reason), True, True))

    def _usage_chunk(self) -> list[Chunk]:
        if not self._head or not self._outcome.complete_usage:
            return []
        # The part before the choices is the same in every chunk.
        head = self._head[: -len(_CHOICES)]
        usage = orjson.dumps(openai_usage(self._outcome.usage))
        return [Chunk(head + b',"choices":[],"usage":' + usage + b"}", False, True)]

    def _settle(self) -> None:
        outcome = self._outcome
        settle(outcome, self._call, self._reports)
        if self._stop_reason is not None:
            outcome.finish_reason = finish_reason(self._stop_reason, unwrap_json=self._unwrap_json)
        elif not self._done:
            # A count before the reason to stop was told is an interim one.
            outcome.complete_usage = False

    def _speak(self, chunks: list[Chunk], name: str, text: str) -> None:
        if text:
            self._outcome.generated = True
            self._said.append(text)
            self._emit(chunks, {name: text})

    def _arguments(self, chunks: list[Chunk], block: _Block, text: str) -> None:
        if not text:
            return
        block.any_arguments = True
        if block.is_json:
            self._speak(chunks, "content", text)
        else:
            self._said.append(text)
            self._emit_call(chunks, block, {"function": {"arguments": text}})

    def _emit_call(self, chunks: list[Chunk], block: _Block, call: RawObject) -> None:
        self._emit(chunks, {"tool_calls": [{"index": block.tool, **call}]})

    def _emit(self, chunks: list[Chunk], delta: RawObject) -> None:
        if self._head:
            chunks.append(Chunk(self._chunk(delta, None), True, False))

    def _chunk(self, delta: RawObject, reason: str | None) -> bytes:
        end = b"null" if reason is None else orjson.dumps(reason)
        return b"".join(
            (self._head, orjson.dumps(delta), b',"logprobs":null,"finish_reason":', end, b"}]}")
        )

    def _fail(self, failure: ProviderFailure) -> None:
        if self._outcome.failure is None:
            self._outcome.failure = failure


class _Block:
    """A content block that is being streamed."""

    __slots__ = ("any_arguments", "is_json", "kind", "signature", "thoughts", "tool")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tool = 0
        self.is_json = False
        self.any_arguments = False
        self.thoughts: list[str] = []
        self.signature = ""


_HANDLERS: Final = {
    "message_start": StreamReader._start,
    "content_block_start": StreamReader._block_start,
    "content_block_delta": StreamReader._block_delta,
    "content_block_stop": StreamReader._block_stop,
    "message_delta": StreamReader._message_delta,
    "message_stop": StreamReader._message_stop,
}
"""Other types (`ping`, and what is yet to come) say nothing to us."""

_CHOICES: Final = b',"choices":[{"index":0,"delta":'


def _envelope(head: RawObject) -> bytes:
    return orjson.dumps(head)[:-1] + _CHOICES
