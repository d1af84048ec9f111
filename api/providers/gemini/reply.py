"""Gemini's answers as OpenAI's: one completion, or a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from api.providers.chunks import ChunkWriter, created, give_completion
from api.providers.failures import unreadable
from api.providers.gemini.answer import Answer, Piece
from api.providers.gemini.json_pieces import JsonPieces
from api.providers.lenient import loads, objects
from api.providers.port import ChatCall, Chunk, Headers, Outcome, RawObject
from api.providers.sse import SseDecoder
from api.providers.whole_body import WholeBody

_DONE: Final = b"[DONE]"
_SPACE: Final = b" \t\r\n"


class BodyReader(WholeBody):
    """Reads an answer that is one response, or an array of them."""

    def __init__(self, call: ChatCall, headers: Headers) -> None:
        super().__init__()
        self._call = call
        self._created = created(headers)

    def finish(self) -> Outcome:
        """The whole answer, if that is what it is."""
        answer, messages = self._read()
        outcome = answer.result(whole=True)
        if outcome.failure is None and self._call.stream:
            outcome.failure = unreadable("The provider's answer is not what was asked for.")
        if outcome.failure is None:
            choices = [messages[index].choice(index) for index in sorted(messages)]
            give_completion(outcome, choices, created=self._created, model=self._call.model)
        return outcome

    def received_text(self) -> str:
        """What the model said."""
        return "".join(self._read()[0].said)

    def _read(self) -> tuple[Answer, dict[int, _Message]]:
        answer = Answer(self._call)
        data = self.body
        messages: dict[int, _Message] = {}
        try:
            found = loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict | list):
            answer.fail(unreadable("The provider's answer is not a JSON object."))
        for text in JsonPieces().feed(data) if isinstance(found, list) else [data]:
            response = loads(text) if isinstance(found, list) else found
            if isinstance(response, dict):
                for piece in answer.take(response, text):
                    messages.setdefault(piece.choice, _Message()).add(piece)
        return answer, messages


class StreamReader:
    """Reads a stream of responses, as events or as an array, and writes chunks."""

    def __init__(self, call: ChatCall, headers: Headers) -> None:
        self._call = call
        self._created = created(headers)
        self._decoder: SseDecoder | JsonPieces | None = None
        self._answer = Answer(call)
        self._writer: ChunkWriter | None = None
        self._tail: list[Chunk] = []
        self._any_bytes = False
        self._done = False

    @property
    def done(self) -> bool:
        """Gemini marks no end; some that stand before it do."""
        return self._done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The chunks that these bytes complete."""
        self._any_bytes = self._any_bytes or bool(data)
        chunks: list[Chunk] = []
        for text in self._texts(data):
            self._take(text, chunks)
        return chunks

    def finish(self) -> Outcome:
        """What was read; a last event without its blank line counts if it is whole."""
        if isinstance(self._decoder, SseDecoder):
            event = self._decoder.pending()
            if event is not None and _loaded(event[1]) is not None:
                self._decoder.drop_pending()
                self._take(event[1], self._tail)
        outcome = self._answer.result()
        if not self._any_bytes:
            outcome.failure = None
        if outcome.failure is None and outcome.ended:
            outcome.tail = (*self._tail, *self._last_chunks(outcome))
        else:
            outcome.tail = tuple(self._tail)
        return outcome

    def received_text(self) -> str:
        """What the model said so far."""
        return "".join(self._answer.said)

    def _texts(self, data: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            data = data.lstrip(_SPACE)
            if not data:
                return
            self._decoder = JsonPieces() if data[:1] in (b"[", b"{") else SseDecoder()
        if isinstance(self._decoder, JsonPieces):
            yield from self._decoder.feed(data)
        else:
            for _, text in self._decoder.feed(data):
                yield text

    def _take(self, text: bytes, chunks: list[Chunk]) -> None:
        if self._done or not text:
            return
        if text == _DONE:
            self._done = True
            return
        found = _loaded(text)
        if not isinstance(found, dict | list):
            self._answer.fail(unreadable("The provider's stream holds something unexpected."))
            return
        for response in objects(found if isinstance(found, list) else [found]):
            for piece in self._answer.take(response, text):
                chunks.append(self._chunk(piece))

    def _chunk(self, piece: Piece) -> Chunk:
        writer, last = self._chunks(), self._answer.finished
        if piece.finish_reason is not None:
            return writer.finish(
                piece.delta, piece.finish_reason, piece.logprobs, choice=piece.choice, last=last
            )
        chunk = writer.delta(piece.delta, piece.logprobs, choice=piece.choice)
        return chunk._replace(finished=last) if last else chunk

    def _chunks(self) -> ChunkWriter:
        if self._writer is None:
            outcome = self._answer.outcome
            self._writer = ChunkWriter(
                identity=outcome.upstream_id or "",
                created=self._created,
                model=outcome.model or self._call.model,
            )
        return self._writer

    def _last_chunks(self, outcome: Outcome) -> Iterator[Chunk]:
        if not self._answer.finished:
            # Fewer choices came than were asked for, and only the end shows it.
            yield self._chunks().delta({})._replace(finished=True)
        if outcome.complete_usage:
            yield self._chunks().usage(outcome.usage)


class _Message:
    """The pieces of one choice, put together."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
        self._lists: dict[str, list[Any]] = {}
        self._single: RawObject = {}
        self._logprobs: list[Any] = []
        self._finish_reason = "stop"

    def add(self, piece: Piece) -> None:
        for name, value in piece.delta.items():
            if name in self._texts:
                self._texts[name].append(value)
            elif isinstance(value, list):
                self._lists.setdefault(name, []).extend(value)
            else:
                self._single[name] = value
        if piece.logprobs:
            self._logprobs.extend(piece.logprobs["content"])
        self._finish_reason = piece.finish_reason or self._finish_reason

    def choice(self, index: int) -> RawObject:
        text, thoughts = "".join(self._texts["content"]), "".join(self._texts["reasoning_content"])
        calls = self._lists.pop("tool_calls", [])
        silent = not text and (calls or "refusal" in self._single)
        message: RawObject = {"role": "assistant", "content": None if silent else text}
        message["refusal"] = None
        message.update(self._single)
        if thoughts:
            message["reasoning_content"] = thoughts
        message.update(self._lists)
        if calls:
            message["tool_calls"] = [
                {name: value for name, value in call.items() if name != "index"} for call in calls
            ]
        return {
            "index": index,
            "message": message,
            "logprobs": {"content": self._logprobs, "refusal": None} if self._logprobs else None,
            "finish_reason": self._finish_reason,
        }


def _loaded(text: bytes) -> Any:
    try:
        return loads(text)
    except ValueError:
        return None
