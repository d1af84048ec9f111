"""Converse's stream of frames as OpenAI's stream of chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from api.providers.chunks import ChunkWriter, created
from api.providers.converse.reply import REQUEST_ID, finish_reason, is_ours, settle
from api.providers.converse.wire import BadFrame, Frame, FrameDecoder
from api.providers.failures import classify_inside, unreadable
from api.providers.lenient import index_of, json_object, text_of
from api.providers.messages.blocks import Blocks
from api.providers.port import ChatCall, Chunk, Headers, Outcome, ProviderFailure, RawObject
from api.providers.usage import section, told_word

_STATUS: Final = {
    "internalServerException": 500,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
"""What an exception inside a stream would have had as its status (Amazon's service model)."""

_NUMBER: Final = "contentBlockIndex"


class StreamReader:
    """Reads frames and writes chunks."""

    def __init__(self, call: ChatCall, headers: Headers, *, unwrap_json: bool) -> None:
        self._unwrap_json = unwrap_json
        self._frames = FrameDecoder()
        self._outcome = Outcome(upstream_id=told_word(headers.get(REQUEST_ID)))
        self._chunks = ChunkWriter(
            identity=self._outcome.upstream_id or "", created=created(headers), model=call.model
        )
        self._blocks = Blocks(unwrap_json=unwrap_json)
        self._foreign: set[int] = set()
        """Numbers of the blocks that belong to the provider's own tools."""
        self._started = False
        self._stop: tuple[RawObject, bytes] = {}, b""
        self._report: tuple[RawObject, bytes] = {}, b""
        self._done = False
        self._any_bytes = False

    @property
    def done(self) -> bool:
        """The metadata, which come last, were seen."""
        return self._done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The chunks that these bytes complete."""
        self._any_bytes = self._any_bytes or bool(data)
        chunks: list[Chunk] = []
        if self._done or self._outcome.failure is not None:
            return chunks
        try:
            for frame in self._frames.feed(data):
                self._take(frame, chunks)
        except BadFrame:
            self._fail(unreadable("The provider's stream holds bytes that are no frame."))
        return chunks

    def finish(self) -> Outcome:
        """What was read so far."""
        outcome = self._outcome
        outcome.ended = self._done
        if outcome.failure is None and not self._started and self._any_bytes:
            outcome.failure = unreadable("The provider's answer is not an event stream.")
        return outcome

    def received_text(self) -> str:
        """What the model said so far."""
        return "".join(self._blocks.words)

    def _take(self, frame: Frame, chunks: list[Chunk]) -> None:
        if self._done or self._outcome.failure is not None:
            return
        kind = frame.headers.get(":message-type")
        found = json_object(frame.payload)
        if kind in ("exception", "error"):
            self._fail(_failure(frame.headers, found or {}))
        elif found is None:
            self._fail(unreadable("The provider's stream holds an event that is not JSON."))
        else:
            handle = _HANDLERS.get(str(frame.headers.get(":event-type")))
            if handle is not None:
                # Also where messageStart is missing: whatever is known begins the answer.
                self._start(found, frame.payload, chunks)
                handle(self, found, frame.payload, chunks)

    def _start(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        if not self._started:
            self._started = True
            chunks.append(self._chunks.delta({"role": "assistant", "content": ""}))

    def _block_start(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        start = section(found, "start")
        use = section(start, "toolUse")
        if use and is_ours(use):
            name, identity = text_of(use, "name"), text_of(use, "toolUseId")
            self._emit(chunks, self._blocks.call(index_of(found, _NUMBER), name, identity))
        elif start:
            # What the provider's own tools did is not the client's to see.
            self._foreign.add(index_of(found, _NUMBER))

    def _block_delta(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        """Blocks of text and of thoughts begin without being announced."""
        index, delta, blocks = index_of(found, _NUMBER), section(found, "delta"), self._blocks
        if index in self._foreign:
            return
        told = section(delta, "reasoningContent")
        self._emit(chunks, blocks.text(text_of(delta, "text")))
        self._emit(chunks, blocks.thought(index, text_of(told, "text"), text_of(told, "signature")))
        if text_of(told, "redactedContent"):
            self._emit(chunks, blocks.redacted_thought(index, text_of(told, "redactedContent")))
        self._emit(chunks, blocks.arguments(index, text_of(section(delta, "toolUse"), "input")))

    def _block_stop(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        index = index_of(found, _NUMBER)
        if index in self._foreign:
            self._foreign.remove(index)
        else:
            self._emit(chunks, self._blocks.end(index))

    def _message_stop(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        if self._outcome.finish_reason is not None:
            return
        self._stop = found, data
        reason = finish_reason(found.get("stopReason"), unwrap_json=self._unwrap_json)
        self._outcome.finish_reason = reason
        chunks.append(self._chunks.finish({}, reason))
        self._conclude(chunks)

    def _metadata(self, found: RawObject, data: bytes, chunks: list[Chunk]) -> None:
        self._report = found, data
        self._conclude(chunks)

    def _conclude(self, chunks: list[Chunk]) -> None:
        """The metadata come after the reason to stop, but nothing depends on that."""
        report, data = self._report
        if not data:
            return
        outcome = self._outcome
        stop, stop_data = self._stop
        additional = section(stop, "additionalModelResponseFields")
        settle(outcome, report, data, additional, stop_data)
        self._done = outcome.finish_reason is not None
        if self._done and outcome.complete_usage:
            chunks.append(self._chunks.usage(outcome.usage))

    def _emit(self, chunks: list[Chunk], deltas: list[RawObject]) -> None:
        self._outcome.generated = self._blocks.generated
        if self._outcome.finish_reason is None:
            chunks.extend(map(self._chunks.delta, deltas))

    def _fail(self, failure: ProviderFailure) -> None:
        if self._outcome.failure is None:
            self._outcome.failure = failure


_HANDLERS: Final = {
    "messageStart": StreamReader._start,
    "contentBlockStart": StreamReader._block_start,
    "contentBlockDelta": StreamReader._block_delta,
    "contentBlockStop": StreamReader._block_stop,
    "messageStop": StreamReader._message_stop,
    "metadata": StreamReader._metadata,
}
"""Other events, which are yet to come, say nothing to us."""


def _failure(headers: Mapping[str, object], found: RawObject) -> ProviderFailure:
    """An exception that the service model names, or an error that only the frame knows."""
    kind = str(headers.get(":exception-type") or headers.get(":error-code") or "")
    message = (
        text_of(found, "message")
        or text_of(found, "Message")
        or text_of(found, "originalMessage")
        or str(headers.get(":error-message") or "")
    )
    status = _STATUS.get(kind[:1].lower() + kind[1:], 500)
    return classify_inside({"type": kind, "message": message, "status_code": status})
