"""OpenAI's chat completions, spoken by OpenAI itself and by everyone who imitates it.

The answer passes through in the provider's own bytes; reading it costs one JSON parse per chunk.
What a provider does differently is a field of `ChatOptions`, set in its row of the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from api.providers.answer_forms import reader_of
from api.providers.chat_completions.mend import Mender
from api.providers.chat_completions.mould import Mould
from api.providers.chat_completions.options import ChatOptions
from api.providers.chat_completions.report import Report
from api.providers.chat_completions.request import body_for
from api.providers.chat_completions.texts import chat_received_text
from api.providers.chunks import created
from api.providers.failures import classify, classify_inside, unreadable
from api.providers.lenient import loads, objects
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
from api.providers.verbatim import without
from api.providers.whole_body import WholeBody

NAME: Final = "openai.chat"
_DONE: Final = b"[DONE]"
_OWN: Final = "x_keytoll"
_TOO_DEEP: Final = "The provider's answer is nested too deeply."


class ChatCompletions:
    """The dialect `openai.chat`."""

    name = NAME

    def __init__(self, options: ChatOptions | None = None) -> None:
        self._options = options or ChatOptions()

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The client's body as the provider takes it. Raises UnsupportedParameter."""
        options = self._options
        address = options.address(key, base_url, call.model)
        return UpstreamRequest(
            url=address.url,
            headers={
                **address.headers,
                "content-type": "application/json",
                "accept": "text/event-stream" if call.stream else "application/json",
                **options.headers,
            },
            body=orjson.dumps(body_for(call, options, address.model)),
            context=address.context,
        )

    def reader(self, call: ChatCall, headers: Headers) -> Reader:
        """A reader of one answer, in whatever form it comes."""
        return reader_of(
            call,
            whole=lambda asked: _BodyReader(asked, self._options, headers),
            stream=lambda asked: _StreamReader(asked, self._options, headers),
        )

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What an answer with an error status means."""
        return classify(status, headers, body, self._options.failures)


class _BodyReader(WholeBody):
    """Reads an answer that is one JSON object."""

    def __init__(self, call: ChatCall, options: ChatOptions, headers: Headers) -> None:
        super().__init__()
        self._call = call
        self._options = options
        self._headers = headers

    def finish(self) -> Outcome:
        """The whole body, if that is what it is."""
        report = Report(self._call, self._options)
        outcome = report.outcome
        data = self.body
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
        report.see_choices(choices, whole=True)
        report.see(found, data)
        report.settle()
        outcome.failure = report.failure_in(found)
        if outcome.failure is None:
            if not isinstance(choices, list) or self._call.stream:
                outcome.failure = unreadable("The provider's answer is not what was asked for.")
            else:
                self._give(outcome, found, data)
        return outcome

    def received_text(self) -> str:
        """What the model said."""
        return chat_received_text([self.body])

    def _give(self, outcome: Outcome, found: RawObject, data: bytes) -> None:
        answer = without(data, _OWN) if _OWN in found else data
        if answer is None:
            outcome.failure = unreadable(_TOO_DEEP)
            return
        found.pop(_OWN, None)
        outcome.answer = _mender(self._call, self._options, self._headers).mended(found, answer)


class _StreamReader:
    """Reads a stream of chunks and passes each on as it was written, if it can stay so."""

    def __init__(self, call: ChatCall, options: ChatOptions, headers: Headers) -> None:
        self._events = SseDecoder()
        self._report = Report(call, options)
        self._mender = _mender(call, options, headers)
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
            aside = self._mender.usage_aside()
            if aside is None or self._report.outcome.failure is not None:
                return None
            return Chunk(aside, False, self._finished)
        found = _loaded(data)
        if not isinstance(found, dict):
            self._fail(unreadable("The provider's stream holds something that is not a chunk."))
            return None
        self._received.append(data)
        report = self._report
        report.see_choices(found.get("choices"), whole=False)
        report.see(found, data)
        failure = report.failure_in(found, named=name == b"error")
        if failure is not None:
            self._fail(failure)
        if report.outcome.failure is not None:
            return None
        return self._chunk(found, data)

    def _chunk(self, found: RawObject, data: bytes) -> Chunk | None:
        self._finished = self._report.all_finished
        given = data
        if _OWN in found:
            kept = without(data, _OWN)
            if kept is None:
                self._fail(unreadable(_TOO_DEEP))
                return None
            found, given = loads(kept), kept
        if self._options.trim is not None:
            kept = self._options.trim(found, given)
            if kept is None:
                return None
            if kept is not given:
                found, given = loads(kept), kept
        given = self._mender.mended(found, given)
        if given is data and (self._mould is None or not data.startswith(self._mould.head)):
            self._mould = Mould.of(found, data)
        if b"\n" in given:
            # Only white space between tokens can be a line feed in JSON; ours is one line.
            given = given.replace(b"\n", b" ")
        has_choices = bool(objects(found.get("choices")))
        return Chunk(given, has_choices, self._finished)

    def _fail(self, failure: ProviderFailure) -> None:
        # The first failure is the cause; what follows are consequences.
        self._mould = None
        if self._report.outcome.failure is None:
            self._report.outcome.failure = failure


def _mender(call: ChatCall, options: ChatOptions, headers: Headers) -> Mender:
    return Mender(
        model=call.model, created=created(headers), whole=not call.stream, rules=options.usage
    )


def _loaded(data: bytes) -> Any:
    try:
        return loads(data)
    except ValueError:
        return None
