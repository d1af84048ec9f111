"""The stream of typed events of Responses as OpenAI's stream of chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from api.providers.chunks import ChunkWriter
from api.providers.failures import classify_inside, unreadable
from api.providers.lenient import json_object, text_of
from api.providers.port import ChatCall, Chunk, Headers, Outcome, ProviderFailure, RawObject
from api.providers.responses.items import Items, Said
from api.providers.responses.reply import (
    RULES,
    failure_of,
    finish_reason,
    identity,
    learn,
    made_at,
    said_by,
    settle,
)
from api.providers.sse import SseDecoder, SseEvent

_DONE: Final = b"[DONE]"
_USAGE: Final = ("response", "usage")


class StreamReader:
    """Reads a stream of events and writes chunks."""

    def __init__(self, call: ChatCall, headers: Headers) -> None:
        self._call = call
        self._headers = headers
        self._events = SseDecoder()
        self._items = Items()
        self._outcome = Outcome()
        self._chunks: ChunkWriter | None = None
        self._report: tuple[RawObject, bytes] = ({}, b"")
        self._reported_at_end = False
        self._ended = False
        self._responses = 1
        self._calls_before = 0
        self._done = False
        self._any_bytes = False
        self._known = False
        self._tail: list[Chunk] = []

    @property
    def done(self) -> bool:
        """Nothing can follow: `[DONE]`, or a failure, was seen.

        The last event of a response does not say so, and the last usage counts, wherever it is.
        """
        return self._done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The chunks that these bytes complete."""
        self._any_bytes = self._any_bytes or bool(data)
        chunks: list[Chunk] = []
        for event in self._events.feed(data):
            self._take(event, chunks)
        return chunks

    def finish(self) -> Outcome:
        """What was read; a last event without its blank line counts if it is whole."""
        event = self._events.pending()
        if event is not None and json_object(event[1]) is not None:
            self._events.drop_pending()
            self._take(event, self._tail)
        outcome = self._outcome
        outcome.ended = self._ended
        self._settle()
        tail = list(self._tail)
        if self._chunks and outcome.complete_usage and outcome.failure is None:
            tail.append(self._chunks.usage(outcome.usage))
        outcome.tail = tuple(tail)
        if outcome.failure is None and not self._known and self._any_bytes:
            outcome.failure = unreadable("The provider's answer is not an event stream.")
        return outcome

    def received_text(self) -> str:
        """What the model said so far."""
        return "".join(self._items.words)

    def _take(self, event: SseEvent, chunks: list[Chunk]) -> None:
        if event[1] == _DONE:
            self._done = True
        if self._done:
            return
        found = json_object(event[1])
        if found is None:
            return
        kind = text_of(found, "type") or event[0].decode("utf-8", "replace")
        read = _PIECES.get(kind)
        response = found.get("response")
        if self._ended and kind == "response.created":
            self._begin_another()
        if self._ended:
            return
        if read is not None:
            self._speak(read(self._items, found), chunks)
        elif isinstance(response, dict):
            self._see(response, event[1], chunks, last=kind in _LAST)
        elif kind == "error" or found.get("error"):
            self._fail(classify_inside(found, RULES))
        else:
            return
        self._known = True

    def _see(self, response: RawObject, data: bytes, chunks: list[Chunk], *, last: bool) -> None:
        outcome = self._outcome
        learn(outcome, response)
        if response.get("usage") or last:
            self._report = (response, data)
            self._reported_at_end = last
        writer = self._chunks or self._open(response, chunks)
        if not last:
            return
        self._ended = True
        if not outcome.generated:
            # Some gateways tell the answer in the last event only.
            self._speak(said_by(self._items, response), chunks)
        failure = failure_of(response)
        if failure is not None:
            self._fail(failure)
        if outcome.failure is None:
            calls = self._items.calls - self._calls_before
            outcome.finish_reason = finish_reason(response, calls=calls)
            chunks.append(writer.finish({}, outcome.finish_reason))
        else:
            self._done = True

    def _begin_another(self) -> None:
        """One call is one response, but what a stream says is said and counted to its end."""
        self._ended = False
        self._responses += 1
        self._calls_before = self._items.calls
        self._items.forget_places()

    def _open(self, response: RawObject, chunks: list[Chunk]) -> ChunkWriter:
        self._chunks = ChunkWriter(
            identity=identity(self._outcome),
            created=made_at(response, self._headers),
            model=self._outcome.model or self._call.model,
        )
        chunks.append(self._chunks.delta({"role": "assistant", "content": ""}))
        return self._chunks

    def _speak(self, said: list[Said], chunks: list[Chunk]) -> None:
        if not said:
            return
        self._outcome.generated = True
        if self._outcome.failure is not None:
            return
        writer = self._chunks or self._open({}, chunks)
        chunks.extend(writer.delta(one.delta, one.logprobs) for one in said)

    def _settle(self) -> None:
        settle(self._outcome, self._call, self._items, (*self._report, _USAGE))
        # A count before the end is an interim one.
        final = self._ended and self._reported_at_end
        self._outcome.complete_usage = self._outcome.complete_usage and final
        if self._responses > 1:
            self._outcome.anomalies.append("several_responses")

    def _fail(self, failure: ProviderFailure) -> None:
        # The first failure is the cause; what follows repeats it.
        if self._outcome.failure is None:
            self._outcome.failure = failure


_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _place(found: RawObject, name: str) -> int:
    place = found.get(name)
    return place if type(place) is int else 0


def _delta(found: RawObject) -> str:
    return text_of(found, "delta")


def _item(found: RawObject) -> RawObject:
    item = found.get("item")
    return item if isinstance(item, dict) else {}


def _out(found: RawObject) -> int:
    return _place(found, "output_index")


def _part(found: RawObject) -> int:
    return _place(found, "content_index")


_PIECES: Final[dict[str, Callable[[Items, RawObject], list[Said]]]] = {
    "response.output_item.added": lambda items, e: items.begin(_out(e), _item(e)),
    "response.output_item.done": lambda items, e: items.end(_out(e), _item(e)),
    "response.output_text.delta": lambda items, e: items.text(
        _out(e), _part(e), _delta(e), e.get("logprobs")
    ),
    "response.output_text.annotation.added": lambda items, e: items.annotation(
        _out(e), _part(e), e.get("annotation")
    ),
    "response.refusal.delta": lambda items, e: items.refusal(_out(e), _part(e), _delta(e)),
    "response.function_call_arguments.delta": lambda items, e: items.arguments(
        _out(e), "function_call", _delta(e)
    ),
    "response.custom_tool_call_input.delta": lambda items, e: items.arguments(
        _out(e), "custom_tool_call", _delta(e)
    ),
    "response.reasoning_summary_text.delta": lambda items, e: items.thought(
        _out(e), "summary", _place(e, "summary_index"), _delta(e)
    ),
    "response.reasoning_text.delta": lambda items, e: items.thought(
        _out(e), "text", _part(e), _delta(e)
    ),
}
"""Event → what it says. Other types that carry no `response` say nothing to a chat completion."""
