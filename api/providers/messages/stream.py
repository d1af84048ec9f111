"""Anthropic's stream of typed events as OpenAI's stream of chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from api.providers.chunks import ChunkWriter, created
from api.providers.failures import classify_inside, unreadable
from api.providers.lenient import index_of, json_object, text_of
from api.providers.messages.blocks import Blocks
from api.providers.messages.reply import (
    START_USAGE,
    finish_reason,
    refusal_of,
    settle,
)
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
        self._chunks: ChunkWriter | None = None
        self._reports: list[tuple[Any, bytes, tuple[str, ...]]] = []
        self._blocks = Blocks(unwrap_json=unwrap_json)
        self._kinds: dict[int, str] = {}
        """Number → type of the blocks that have begun."""
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
        if outcome.failure is None and self._chunks is None and self._any_bytes:
            outcome.failure = unreadable("The provider's answer is not an event stream.")
        return outcome

    def received_text(self) -> str:
        """What the model said so far."""
        return "".join(self._blocks.words)

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
        if not isinstance(message, dict) or self._chunks is not None:
            return
        outcome = self._outcome
        outcome.upstream_id = told_word(message.get("id"))
        outcome.model = told_word(message.get("model"))
        self._chunks = ChunkWriter(
            identity=outcome.upstream_id or "",
            created=self._created,
            model=outcome.model or self._call.model,
        )
        self._reports.append((message.get("usage"), data, START_USAGE))
        self._emit(chunks, [{"role": "assistant", "content": ""}])

    def _block_start(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        given = found.get("content_block")
        if not isinstance(given, dict):
            return
        index, blocks = index_of(found), self._blocks
        kind = self._kinds[index] = str(given.get("type"))
        if kind == "tool_use":
            self._emit(chunks, blocks.call(index, str(given.get("name")), given.get("id")))
        elif kind == "redacted_thinking":
            self._emit(chunks, blocks.redacted_thought(index, text_of(given, "data")))
        elif kind == "text" and given.get("text"):
            self._emit(chunks, blocks.text(str(given["text"])))

    def _block_delta(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        delta, index = found.get("delta"), index_of(found)
        if not isinstance(delta, dict) or index not in self._kinds:
            return
        kind, blocks = delta.get("type"), self._blocks
        if kind == "text_delta":
            self._emit(chunks, blocks.text(text_of(delta, "text")))
        elif kind == "thinking_delta":
            self._emit(chunks, blocks.thought(index, text_of(delta, "thinking")))
        elif kind == "signature_delta" and self._kinds[index] == "thinking":
            self._emit(chunks, blocks.thought(index, "", text_of(delta, "signature")))
        elif kind == "input_json_delta":
            self._emit(chunks, blocks.arguments(index, text_of(delta, "partial_json")))

    def _block_stop(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        index = index_of(found)
        if self._kinds.pop(index, None) is not None:
            self._emit(chunks, self._blocks.end(index))

    def _message_delta(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        delta = found.get("delta")
        if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
            self._stop_reason = delta["stop_reason"]
            self._refusal = refusal_of(delta)
            self._finish(chunks)
        usage = found.get("usage")
        if isinstance(usage, dict):
            # The counts grow from one report to the next: the last one that counts the output
            # holds them all, but for what comes still later without it.
            del self._reports[1 if usage.get("output_tokens") else 2 :]
            self._reports.append((usage, data, ("usage",)))

    def _message_stop(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        self._done = True
        self._settle()
        self._finish(chunks)
        chunks.extend(self._usage_chunk())

    def _finish(self, chunks: list[Chunk]) -> None:
        """The last chunk with choices, once."""
        if self._finish_given or self._chunks is None:
            return
        self._finish_given = True
        reason = finish_reason(self._stop_reason, unwrap_json=self._unwrap_json)
        delta = {}
        if reason == "content_filter" and self._refusal:
            delta["refusal"] = self._refusal
        chunks.append(self._chunks.finish(delta, reason))

    def _usage_chunk(self) -> list[Chunk]:
        if self._chunks is None or not self._outcome.complete_usage:
            return []
        return [self._chunks.usage(self._outcome.usage)]

    def _settle(self) -> None:
        outcome = self._outcome
        settle(outcome, self._call, self._reports)
        if self._stop_reason is not None:
            outcome.finish_reason = finish_reason(self._stop_reason, unwrap_json=self._unwrap_json)
        elif not self._done:
            # A count before the reason to stop was told is an interim one.
            outcome.complete_usage = False

    def _emit(self, chunks: list[Chunk], deltas: list[RawObject]) -> None:
        self._outcome.generated = self._blocks.generated
        if self._chunks is not None:
            chunks.extend(map(self._chunks.delta, deltas))

    def _fail(self, failure: ProviderFailure) -> None:
        if self._outcome.failure is None:
            self._outcome.failure = failure


_HANDLERS: Final = {
    "message_start": StreamReader._start,
    "content_block_start": StreamReader._block_start,
    "content_block_delta": StreamReader._block_delta,
    "content_block_stop": StreamReader._block_stop,
    "message_delta": StreamReader._message_delta,
    "message_stop": StreamReader._message_stop,
}
"""Other types (`ping`, and what is yet to come) say nothing to us."""
