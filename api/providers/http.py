"""The way out: one pooled HTTP client that reaches allowed hosts only.

httpx gives the words (requests, responses, transports), aiohttp does the work (docs/decisions:
upstream HTTP client). No redirects, no cookies, no proxies from the environment; a name that
resolves to a private address is refused, and the address that was checked is the one connected to.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

import aiohttp
import httpx

from api.providers.hosts import origin_allowed, origin_of
from api.providers.pool import pool
from api.providers.port import Timeouts, UpstreamRequest
from domain.errors import DomainError

Phase = Literal["connect", "first_byte", "idle", "total"]
T = TypeVar("T")

CONNECTIONS_MAX: Final = 1000
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
_URLS_KEPT_MAX: Final = 1000
_LOOK_S_MIN: Final = 0.01
_OWN_HEADERS: Final = ((b"accept-encoding", b"identity"), (b"user-agent", b"keytoll"))


class TransportError(DomainError):
    """The provider could not be asked, or its answer did not arrive."""


class Unreachable(TransportError):
    """No connection came about. Nothing was sent."""


class HostRefused(Unreachable):
    """The URL leads to a host that this provider does not use. Nothing was sent."""


class TimedOut(TransportError):
    """The provider took too long; unless the phase is connect, the request was sent."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(f"the provider did not answer in time ({phase})")
        self.phase = phase


class Broken(TransportError):
    """The connection broke, or the answer cannot be read on, after the request was sent."""


class Target(Protocol):
    """What a row of the catalogue says about reaching its provider."""

    @property
    def hosts(self) -> Sequence[str]:
        """Host names; `*.suffix` stands for one label before the suffix."""

    @property
    def timeouts(self) -> Timeouts:
        """Limits of each phase."""


class Answer:
    """Status, headers and the body as it arrives. Close it, whatever happens."""

    def __init__(self, response: httpx.Response, *, patience: _Patience, bytes_max: int) -> None:
        self.status = response.status_code
        self.headers = _headers(response)
        self._stream = _stream(response)
        self._pieces = aiter(self._stream)
        self._patience = patience
        self._bytes_left = bytes_max
        self._decoder = _decoder(self.headers.get("content-encoding", ""))

    @property
    def body(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive. Raises TimedOut or Broken."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                data = await self._patience.piece(self._pieces)
            except StopAsyncIteration:
                self._patience.end()
                raise
            except (httpx.HTTPError, aiohttp.ClientError, OSError):
                raise Broken("the connection to the provider broke") from None
            if self._decoder is not None:
                data = self._decoder.decode(data, self._bytes_left)
            self._bytes_left -= len(data)
            if self._bytes_left < 0:
                raise Broken("the provider's answer is too large")
            if data:
                return data

    async def read(self, bytes_max: int) -> bytes:
        """The body, cut at `bytes_max`; for error bodies and small answers."""
        parts: list[bytes] = []
        size = 0
        async for data in self:
            parts.append(data)
            size += len(data)
            if size >= bytes_max:
                break
        return b"".join(parts)[:bytes_max]

    async def aclose(self) -> None:
        """Give the connection back, or close it when the answer was not read to its end."""
        self._patience.end()
        try:
            await self._stream.aclose()
        except (httpx.HTTPError, aiohttp.ClientError, OSError):
            # The connection is gone already; there is nothing left to give back.
            return


class _Patience:
    """Waits for an answer, and then for each piece of it, no longer than allowed.

    `asyncio.timeout` around each would set and cancel a timer per chunk; here one timer per call
    looks now and then whether somebody waits for too long.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._idle_s = timeouts.idle_s
        self._deadline = now + timeouts.total_s
        self._first_byte = now + timeouts.connect_s + timeouts.first_byte_s
        self._due = now
        self._waiter: asyncio.Task[Any] | None = None
        self._expired = False
        self._timer: asyncio.TimerHandle | None = self._loop.call_at(
            min(self._first_byte, self._deadline, now + self._idle_s), self._look
        )

    def answer(self, sending: Awaitable[httpx.Response]) -> Awaitable[httpx.Response]:
        """The answer's head. Raises TimedOut (first byte, total), and whatever sending raises."""
        return self._wait(sending, self._first_byte, "first_byte")

    def piece(self, pieces: AsyncIterator[bytes]) -> Awaitable[bytes]:
        """The next piece. Raises TimedOut (idle, total), and whatever the pieces raise."""
        return self._wait(anext(pieces), self._loop.time() + self._idle_s, "idle")

    async def _wait(self, awaited: Awaitable[T], due: float, phase: Phase) -> T:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an answer is read inside a task")
        self._due = min(due, self._deadline)
        cancelling = task.cancelling()
        self._waiter = task
        try:
            return await awaited
        except asyncio.CancelledError:
            if self._expired and task.uncancel() <= cancelling:
                raise TimedOut(phase if due < self._deadline else "total") from None
            raise
        finally:
            self._waiter = None

    def end(self) -> None:
        """No more waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        if self._waiter is not None and now >= self._due:
            self._timer = None
            self._expired = True
            self._waiter.cancel()
            return
        # Whoever begins to wait for a piece after this look may wait until the next at least.
        due = now + self._idle_s if self._waiter is None else min(self._due, now + self._idle_s)
        self._timer = self._loop.call_at(max(due, now + _LOOK_S_MIN), self._look)


class Upstream:
    """Sends requests of dialects to providers."""

    def __init__(
        self,
        *,
        named_urls: Iterable[str] = (),
        connections_max: int = CONNECTIONS_MAX,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`named_urls` are base URLs that the operator chose: their origins are always allowed."""
        self._named = frozenset(origin for url in named_urls if (origin := origin_of(url)))
        self._answer_bytes_max = answer_bytes_max
        self._transport = transport or pool(
            named_hosts=frozenset(host for _, host, _ in self._named),
            connections_max=connections_max,
        )
        self._urls: dict[tuple[str, ...], httpx.URL] = {}
        """By URL and the hosts that it was found allowed for."""

    async def send(self, request: UpstreamRequest, target: Target) -> Answer:
        """Send and return when the status and headers are there.

        Raises Unreachable (HostRefused), TimedOut or Broken.
        """
        timeouts = target.timeouts
        outgoing = httpx.Request(
            request.method,
            self._url(request.url, target.hosts),
            headers=[
                *((name.encode(), value.encode()) for name, value in request.headers.items()),
                *_OWN_HEADERS,
            ],
            stream=httpx.ByteStream(request.body),
            # No "pool": it would set a timer even for a connection that is there already.
            extensions={"timeout": {"connect": timeouts.connect_s}},
        )
        outgoing.read()
        # Else httpx looks for the encoding anew each time that a header is read.
        outgoing.headers.encoding = "ascii"
        patience = _Patience(timeouts)
        try:
            response = await patience.answer(self._transport.handle_async_request(outgoing))
        except BaseException as error:
            patience.end()
            if isinstance(error, TimeoutError):
                raise TimedOut("first_byte") from None
            if isinstance(error, httpx.HTTPError | aiohttp.ClientError | OSError):
                raise _reason(error) from None
            raise
        return Answer(response, patience=patience, bytes_max=self._answer_bytes_max)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _url(self, url: str, hosts: Sequence[str]) -> httpx.URL:
        known = self._urls.get((url, *hosts))
        if known is None:
            origin = origin_of(url)
            if origin is None or not (origin in self._named or origin_allowed(origin, hosts)):
                raise HostRefused("the provider's address is not one that keytoll may call")
            if len(self._urls) >= _URLS_KEPT_MAX:
                self._urls.clear()
            known = self._urls[url, *hosts] = httpx.URL(url)
        return known


def _reason(error: Exception) -> TransportError:
    """What went wrong before the status line. httpx's names mislead here, so look at the cause."""
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) else error
    if isinstance(cause, aiohttp.ConnectionTimeoutError) or (
        cause is None and isinstance(error, httpx.ConnectTimeout)
    ):
        return TimedOut("connect")
    if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.InvalidURL) or (
        cause is None and isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol)
    ):
        return Unreachable("the provider could not be reached")
    if isinstance(cause, TimeoutError) or isinstance(error, httpx.ReadTimeout):
        return TimedOut("first_byte")
    return Broken("the connection to the provider broke before it answered")


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in response.headers.raw
    }


def _stream(response: httpx.Response) -> httpx.AsyncByteStream:
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("an upstream transport must give an asynchronous stream")
    return stream


class _Inflater:
    """Undoes a compression that was not asked for, within the size limit."""

    def __init__(self, window_bits: int) -> None:
        self._inflate = zlib.decompressobj(window_bits)

    def decode(self, data: bytes, bytes_max: int) -> bytes:
        try:
            found = self._inflate.decompress(data, max(bytes_max, 0) + 1)
        except zlib.error:
            raise Broken("the provider's answer cannot be decompressed") from None
        if self._inflate.unconsumed_tail:
            raise Broken("the provider's answer is too large")
        return found


def _decoder(encoding: str) -> _Inflater | None:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflater(zlib.MAX_WBITS | 32)
    # Refused when the body is read, so that the status is still known.
    return _Unknown()


class _Unknown(_Inflater):
    """A compression that we did not offer to understand."""

    def __init__(self) -> None:
        super().__init__(zlib.MAX_WBITS)

    def decode(self, data: bytes, bytes_max: int) -> bytes:
        raise Broken("the provider's answer is compressed in an unknown way")
