"""The caller's side of a chat completion: bytes, framing, the receipt, the chunk held back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from api.errors import ApiError, error_body
from api.providers.lenient import loads
from api.providers.port import Chunk
from domain.events.base import JsonObject

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

RECEIPT: Final = "x_keytoll"
DONE: Final = b"data: [DONE]\n\n"
LAST_WORDS_S: Final = 60.0
"""How long the caller may take to make room for the last bytes of an answer."""


def with_receipt(body: bytes, receipt: JsonObject | None) -> bytes:
    """Splice `x_keytoll` in before the last brace of a JSON object; other bytes stay as they are.

    An `x_keytoll` that the upstream sent is dropped, so that nobody else can speak for us.
    """
    if b"x_keytoll" in body:
        members = loads(body)
        if members.pop(RECEIPT, None) is not None:
            body = orjson.dumps(members)
    if receipt is None:
        return body
    brace = body.rindex(b"}")
    comma = b"" if body[:brace].rstrip().endswith(b"{") else b","
    member = comma + b'"x_keytoll":' + orjson.dumps(receipt)
    return body[:brace] + member + body[brace:]


def frame(data: bytes) -> bytes:
    """One SSE event. A newline inside JSON text is only white space, so it may go."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"data: " + data + b"\n\n"


class Reply:
    """What the caller is sent. After the caller has gone, everything becomes a no-op."""

    def __init__(self, send: Send, *, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.gone = False
        self.started = False
        self.ended = False
        """The last byte was given: whoever goes away now has the whole answer."""

    async def json(
        self, body: bytes, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """The whole answer at once."""
        await self._start(
            status, ((b"content-length", str(len(body)).encode()), *_encoded(headers)), _JSON
        )
        await self._last(body)

    async def stream(self, data: bytes) -> None:
        """More of a stream; the first call starts it."""
        if not self.started:
            await self._start(200, ((b"cache-control", b"no-cache"),), _EVENT_STREAM)
        if data:
            await self._body(data, more=True)

    async def last_words(self, data: bytes) -> None:
        """More of a stream that is settled: a caller who reads nothing keeps no place for ever."""
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self.stream(data)
        except TimeoutError:
            self.gone = True

    async def end_stream(self, data: bytes) -> None:
        """The last bytes of a stream."""
        await self._last(data, stream=True)

    async def error(self, error: ApiError, receipt: JsonObject | None = None) -> None:
        """The error as the whole answer, or as the last event of a stream that has begun."""
        body = error_body(error, request_id=self.request_id)
        if receipt is not None:
            body[RECEIPT] = receipt
        data = orjson.dumps(body)
        if self.started:
            await self.end_stream(frame(data))
        else:
            await self.json(data, status=error.status, headers=error.headers.items())

    async def _last(self, data: bytes, *, stream: bool = False) -> None:
        """A caller who reads nothing any more has gone: he keeps no place for ever."""
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                if stream:
                    await self.stream(b"")
                await self._body(data, more=False)
        except TimeoutError:
            self.gone = True

    async def _start(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], content_type: bytes
    ) -> None:
        self.started = True
        await self._out(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", content_type),
                    (b"x-request-id", self.request_id.encode()),
                    *headers,
                ],
            }
        )

    async def _body(self, data: bytes, *, more: bool) -> None:
        self.ended = not more
        await self._out({"type": "http.response.body", "body": data, "more_body": more})

    async def _out(self, message: Message) -> None:
        if self.gone:
            return
        try:
            await self._send(message)
        except OSError:  # the server's way to say that the connection is lost
            self.gone = True


_JSON: Final = b"application/json"
_EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"


def _encoded(headers: Iterable[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)


def chunk_of_ours(*, identity: str, model: str, now: datetime) -> JsonObject:
    """The members of a chunk that no provider sent, but for its choices."""
    return {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": int(now.timestamp()),
        "model": model,
    }


class HeldStream:
    """Decides which chunk may go out now and which waits for the terminal event (API.md 3).

    Once all choices have finished, the latest sendable chunk is held: it will carry the receipt.
    """

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._held: Chunk | None = None

    @property
    def finished(self) -> bool:
        """All choices have finished, so only usage and the end can still come."""
        return self._held is not None

    def take(self, chunks: Sequence[Chunk]) -> bytes:
        """Framed bytes that may be sent at once."""
        out = bytearray()
        for chunk in chunks:
            if not chunk.has_choices and not self._wants_usage:
                continue
            if self._held is not None:
                out += frame(self._held.data)
                self._held = None
            if chunk.finished:
                self._held = chunk
            else:
                out += frame(chunk.data)
        return bytes(out)

    def close(self, *, receipt: JsonObject | None, usage: JsonObject, made: JsonObject) -> bytes:
        """The last framed bytes: what was held, with the receipt, and [DONE].

        `usage` is in OpenAI's words, for a caller that asked and was sent none; `made` holds the
        members of a chunk of our own, if one has to be made.
        """
        out = b""
        last = self._held
        if self._wants_usage and (last is None or last.has_choices):
            if last is not None:
                out = frame(last.data)
            data = orjson.dumps({**made, "choices": [], "usage": usage})
        elif last is not None:
            data = last.data
        elif receipt is None:
            return DONE
        else:
            empty = {"index": 0, "delta": {}, "finish_reason": None}
            data = orjson.dumps({**made, "choices": [empty]})
        return out + frame(with_receipt(data, receipt)) + DONE

    def rest(self) -> bytes:
        """What was held, without receipt: an error event follows and will carry it."""
        return frame(self._held.data) if self._held is not None else b""
