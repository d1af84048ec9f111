"""OpenAI's chat completions, spoken by OpenAI itself and by everyone who imitates it.

The answer passes through in the provider's own bytes; reading it costs one JSON parse per chunk.
What a provider does differently is a field of `ChatOptions`, set in its row of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from api.providers.addressing import Addressing, bearer_at
from api.providers.chat_usage import normalise_chat_usage
from api.providers.chunk_mould import Mould
from api.providers.failures import FailureRules, classify, classify_inside, unreadable
from api.providers.lenient import loads
from api.providers.port import (
    ChatCall,
    Chunk,
    Headers,
    Outcome,
    ProviderFailure,
    ProviderKey,
    RawObject,
    Reader,
    UpstreamRequest,
)
from api.providers.sse import SseDecoder, SseEvent
from api.providers.texts import chat_received_text
from api.providers.usage import keep_raw, told_word
from api.providers.verbatim import without

NAME: Final = "openai.chat"
_DONE: Final = b"[DONE]"
_OWN: Final = "x_keytoll"
_ADDRESS: Final = bearer_at("/chat/completions")
_TOO_DEEP: Final = "The provider's answer is nested too deeply."


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """How one provider's chat completions differ from OpenAI's."""

    address: Addressing = _ADDRESS
    """Where calls go, and what carries the key."""
    ask_usage: bool = True
    """Streams are asked for usage (`stream_options.include_usage`)."""
    limit_field: str | None = None
    """The one name of the token limit that is understood; None: either, as the client wrote it."""
    drop: frozenset[str] = frozenset()
    """Fields that the provider refuses and that do not change the answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    failures: FailureRules = field(default_factory=FailureRules)
    excludes_reasoning: bool = False
    """Completion tokens leave reasoning out, and the total too."""
    trim: Callable[[RawObject, bytes], bytes | None] | None = None
    """(chunk, its bytes) → what of it is for the client, None if nothing."""


_TOKEN_LIMITS: Final = ("max_completion_tokens", "max_tokens")


class ChatCompletions:
    """The dialect `openai.chat`."""

    name = NAME

    def __init__(self, options: ChatOptions | None = None) -> None:
        self._options = options or ChatOptions()

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The client's body as it is, but for the model and the ask for usage."""
        options = self._options
        address = options.address(key, base_url, call.model)
        body = {name: value for name, value in call.body.items() if name not in options.drop}
        body["model"] = address.model
        if options.limit_field:
            for name in _TOKEN_LIMITS:
                if name in body:
                    body[options.limit_field] = body.pop(name)
        if call.stream and options.ask_usage:
            asked = body.get("stream_options")
            asked = asked if isinstance(asked, dict) else {}
            body["stream_options"] = {**asked, "include_usage": True}
        return UpstreamRequest(
            url=address.url,
            headers={
                **address.headers,
                "content-type": "application/json",
                "accept": "text/event-stream" if call.stream else "application/json",
                **options.headers,
            },
            body=orjson.dumps(body),
            context=address.context,
        )

    def reader(self, call: ChatCall, headers: Headers) -> Reader:
        """A reader of one answer; a JSON body is read as such even when a stream was asked for."""
        is_json = headers.get("content-type", "").startswith("application/json")
        if call.stream and not is_json:
            return _StreamReader(call, self._options)
        return _BodyReader(call, self._options)

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What an answer with an error status means."""
        return classify(status, headers, body, self._options.failures)


class _Report:
    """What the objects of an answer have told so far; the last word counts, nothing is summed."""

    def __init__(self, call: ChatCall, options: ChatOptions) -> None:
        self._call = call
        self._options = options
        self._usage: RawObject | None = None
        self._usage_from = b""
        self._usage_final = False
        self.finished: set[int] = set()
        self.outcome = Outcome()

    @property
    def all_finished(self) -> bool:
        return len(self.finished) >= self._call.choices

    def see(self, found: RawObject, data: bytes) -> None:
        """Note the top level of a completion or a chunk; its choices must be noted before."""
        outcome = self.outcome
        usage = found.get("usage")
        if isinstance(usage, dict) and usage:
            self._usage = usage
            self._usage_from = data
            # Some repeat a growing count on every chunk: only what comes at the end is final.
            self._usage_final = self.all_finished or not found.get("choices")
        outcome.model = told_word(found.get("model")) or outcome.model
        outcome.upstream_id = told_word(found.get("id")) or outcome.upstream_id
        tier = told_word(found.get("service_tier"))
        if tier is not None:
            outcome.context["service_tier"] = tier

    def settle(self) -> None:
        """Work out the usage from the last report."""
        outcome = self.outcome
        if self._usage is None:
            return
        found = normalise_chat_usage(
            self._usage,
            outcome.model or self._call.model,
            excludes_reasoning=self._options.excludes_reasoning,
        )
        outcome.usage_raw = keep_raw(found, self._usage_from, self._usage, "usage")
        outcome.usage, outcome.provenance = found.usage, found.provenance
        outcome.anomalies = found.anomalies
        outcome.complete_usage = found.final and (self._usage_final or outcome.ended)


class _BodyReader:
    """Reads an answer that is one JSON object."""

    def __init__(self, call: ChatCall, options: ChatOptions) -> None:
        self._parts: list[bytes] = []
        self._call = call
        self._options = options

    @property
    def done(self) -> bool:
        """A body ends when the connection says so."""
        return False

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """Keep the bytes; the answer is given whole."""
        self._parts.append(data)
        return ()

    def finish(self) -> Outcome:
        """The whole body, if that is what it is."""
        report = _Report(self._call, self._options)
        outcome = report.outcome
        data = b"".join(self._parts)
        found = _loaded(data)
        if not isinstance(found, dict):
            outcome.failure = (
                classify_inside(found, self._options.failures)
                if isinstance(found, list) and found
                else unreadable("The provider's answer is not a JSON object.")
            )
            return outcome
        outcome.ended = True
        choices = found.get("choices")
        for choice in _objects(choices):
            report.finished.add(_index(choice))
            outcome.generated = outcome.generated or _says_something(choice.get("message"))
            outcome.finish_reason = outcome.finish_reason or _reason(choice)
        report.see(found, data)
        report.settle()
        if found.get("error"):
            outcome.failure = classify_inside(found, self._options.failures)
        elif not isinstance(choices, list) or self._call.stream:
            outcome.failure = unreadable("The provider's answer is not what was asked for.")
        else:
            answer = without(data, _OWN) if _OWN in found else data
            if answer is None:
                outcome.failure = unreadable(_TOO_DEEP)
            else:
                outcome.answer = answer
        return outcome

    def received_text(self) -> str:
        """What the model said."""
        return chat_received_text([b"".join(self._parts)])


class _StreamReader:
    """Reads a stream of chunks and passes each on as it was written."""

    def __init__(self, call: ChatCall, options: ChatOptions) -> None:
        self._events = SseDecoder()
        self._report = _Report(call, options)
        self._options = options
        self._received: list[bytes] = []
        self._done = False
        self._any_bytes = False
        self._finished = False
        self._mould: Mould | None = None
        self._tail: list[Chunk] = []

    @property
    def done(self) -> bool:
        """`[DONE]` was seen."""
        return self._done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """The chunks that these bytes complete."""
        self._any_bytes = self._any_bytes or bool(data)
        chunks = []
        for event in self._events.feed(data):
            if self._mould is not None and not event[0] and self._mould.fits(event[1]):
                self._received.append(event[1])
                chunks.append(Chunk(event[1], True, self._finished))
                continue
            chunk = self._take(event)
            if chunk is not None:
                chunks.append(chunk)
        return chunks

    def finish(self) -> Outcome:
        """What was read; a last event without its blank line counts if it is whole."""
        event = self._events.pending()
        if event is not None and (event[1] == _DONE or _loaded(event[1]) is not None):
            self._events.drop_pending()
            chunk = self._take(event)
            if chunk is not None:
                self._tail.append(chunk)
        outcome = self._report.outcome
        outcome.tail = tuple(self._tail)
        outcome.ended = self._done
        self._report.settle()
        if outcome.failure is None and not self._received and self._any_bytes:
            outcome.failure = unreadable("The provider's answer is no stream of chunks.")
        return outcome

    def received_text(self) -> str:
        """What the model said so far."""
        return chat_received_text(self._received)

    def _take(self, event: SseEvent) -> Chunk | None:
        name, data = event
        if self._done or not data:
            return None
        if data == _DONE:
            self._done = True
            self._mould = None
            return None
        found = _loaded(data)
        if not isinstance(found, dict):
            self._fail(unreadable("The provider's stream holds something that is not a chunk."))
            return None
        self._received.append(data)
        choices = found.get("choices")
        if choices:
            self._see_choices(choices)
        self._report.see(found, data)
        if found.get("error") or name == b"error":
            self._fail(classify_inside(found, self._options.failures))
        if self._report.outcome.failure is not None:
            return None
        return self._chunk(found, data, has_choices=bool(choices))

    def _chunk(self, found: RawObject, data: bytes, *, has_choices: bool) -> Chunk | None:
        self._finished = self._report.all_finished
        if self._mould is None or not data.startswith(self._mould.head):
            self._mould = Mould.of(found, data)
        if _OWN in found:
            kept = without(data, _OWN)
            if kept is None:
                self._fail(unreadable(_TOO_DEEP))
                return None
            data = kept
        trimmed = self._options.trim(found, data) if self._options.trim else data
        if trimmed is None:
            return None
        data = trimmed
        if b"\n" in data:
            # Only white space between tokens can be a line feed in JSON; ours is one line.
            data = data.replace(b"\n", b" ")
        return Chunk(data, has_choices, self._finished)

    def _see_choices(self, choices: Any) -> None:
        report = self._report
        outcome = report.outcome
        for choice in _objects(choices):
            if not outcome.generated:
                outcome.generated = _says_something(choice.get("delta"))
            reason = choice.get("finish_reason")
            if reason:
                report.finished.add(_index(choice))
                outcome.finish_reason = _reason(choice) or outcome.finish_reason

    def _fail(self, failure: ProviderFailure) -> None:
        # The first failure is the cause; what follows are consequences.
        self._mould = None
        if self._report.outcome.failure is None:
            self._report.outcome.failure = failure


def _loaded(data: bytes) -> Any:
    try:
        return loads(data)
    except ValueError:
        return None


def _objects(found: Any) -> Iterator[RawObject]:
    if isinstance(found, list):
        for item in found:
            if isinstance(item, dict):
                yield item


def _index(choice: RawObject) -> int:
    index = choice.get("index")
    return index if type(index) is int else 0


def _reason(choice: RawObject) -> str | None:
    reason = choice.get("finish_reason")
    return reason[:40] if isinstance(reason, str) and reason else None


_SAYING: Final = (
    "content",
    "refusal",
    "reasoning_content",
    "reasoning",
    "tool_calls",
    "function_call",
    "audio",
)


def _says_something(message: Any) -> bool:
    return isinstance(message, dict) and any(message.get(name) for name in _SAYING)
