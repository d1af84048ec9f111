"""HTTP connections whose heads are bounded: uvicorn by itself waits and reads for ever."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import ApiError, error_body
from domain.ids import new_id, public_id

HEAD_BYTES_MAX: Final = 64 * 1024
"""Of request line and headers, give or take one read."""
HEAD_S: Final = 30.0
"""From the first byte (or the connection) to the blank line."""


class BoundedHeads(HttpToolsProtocol):
    """Closes a connection whose head is too long, or too long in coming."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fresh = True
        """No read has ended inside this head yet."""
        self._head_bytes = 0
        self._due: asyncio.TimerHandle | None = None

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._end()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """The blank line."""
        self._end()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is not complete."""
        super().data_received(data)
        if self._due is None:
            return
        # The read in which a head begins may hold the rest of another request.
        self._head_bytes += 0 if self._fresh else len(data)
        self._fresh = False
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse()

    def _begin(self) -> None:
        self._end()
        self._fresh, self._head_bytes = True, 0
        self._due = self.loop.call_later(HEAD_S, self.transport.close)

    def _end(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _refuse(self) -> None:
        self._end()
        refusal = ApiError(431, "request_too_large", "The headers are too large.")
        body = orjson.dumps(error_body(refusal, request_id=public_id("req", new_id())))
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
