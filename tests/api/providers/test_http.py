"""The way out, against a real socket on the loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from api.providers.http import (
    Broken,
    HostRefused,
    TimedOut,
    Unreachable,
    Upstream,
)
from api.providers.pool import GuardedResolver
from api.providers.port import Timeouts, UpstreamRequest

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Row:
    """As much of a catalogue row as the client needs."""

    hosts: tuple[str, ...] = ()
    timeouts: Timeouts = field(
        default_factory=lambda: Timeouts(connect_s=2, first_byte_s=0.3, idle_s=0.3, total_s=5)
    )


class Server:
    """Answers each connection's requests with the bytes of a script; keeps what it was sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.serve: Serve = self.hello
        self.url = ""
        self.stopping = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def hello(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\nhello")

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = [
                    line for line in head.split(b"\r\n") if b"ontent-" in line and b"ength" in line
                ]
                if length:
                    await reader.readexactly(int(length[0].split(b":")[1]))
                await self.serve(head, writer)
                await writer.drain()
                if writer.is_closing() or self.stopping.is_set():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    scripted = Server()
    listening = await asyncio.start_server(scripted.connected, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield scripted
    listening.close()
    await listening.wait_closed()
    scripted.stopping.set()
    await asyncio.wait_for(asyncio.gather(*scripted.tasks), 5)


@pytest.fixture
async def upstream(server: Server) -> AsyncIterator[Upstream]:
    client = Upstream(named_urls=[server.url], answer_bytes_max=1000)
    yield client
    await client.aclose()


def request(url: str, body: bytes = b"{}") -> UpstreamRequest:
    return UpstreamRequest(url=url, headers={"authorization": "Bearer sk-x"}, body=body)


async def read(upstream: Upstream, url: str) -> bytes:
    answer = await upstream.send(request(url), Row())
    try:
        return b"".join([data async for data in answer.body])
    finally:
        await answer.aclose()


async def test_an_answer_arrives_and_the_connection_is_used_again(
    server: Server, upstream: Upstream
) -> None:
    answer = await upstream.send(request(server.url + "/x%3Ay"), Row())
    assert answer.status == 200
    assert answer.headers["content-length"] == "5"
    assert await answer.read(3) == b"hel"
    await answer.aclose()
    assert await read(upstream, server.url + "/again") == b"hello"
    assert await read(upstream, server.url + "/again") == b"hello"
    assert server.connections <= 2
    assert b"content-length: 2" in server.heads[0].lower()


@pytest.mark.parametrize("path", ["/x%3Ay", "/x:y", "/arn%3Aaws%2Fz%25/c", "/a?b=%3A&c=d:e"])
async def test_a_path_goes_out_as_it_is_written(
    server: Server, upstream: Upstream, path: str
) -> None:
    await read(upstream, server.url + path)
    assert server.heads[0].startswith(f"POST {path} HTTP/1.1\r\n".encode())


async def test_nothing_is_added_that_tells_of_other_calls(
    server: Server, upstream: Upstream
) -> None:
    await read(upstream, server.url)
    await read(upstream, server.url)
    head = server.heads[1].lower()
    assert b"cookie" not in head
    assert b"accept-encoding: identity" in head
    assert b"user-agent: keytoll\r\n" in head
    assert b"authorization: bearer sk-x" in head


async def test_a_redirect_is_not_followed(server: Server, upstream: Upstream) -> None:
    async def moved(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n")

    server.serve = moved
    answer = await upstream.send(request(server.url), Row())
    await answer.aclose()
    assert answer.status == 302
    assert len(server.heads) == 1


async def test_silence_before_and_within_an_answer(server: Server, upstream: Upstream) -> None:
    async def silent(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/begun" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        await server.stopping.wait()

    server.serve = silent
    row = Row(timeouts=Timeouts(connect_s=0.1, first_byte_s=0.1, idle_s=0.1, total_s=5))
    with pytest.raises(TimedOut) as caught:
        await upstream.send(request(server.url), row)
    assert caught.value.phase == "first_byte"
    answer = await upstream.send(request(server.url + "/begun"), row)
    assert await anext(answer.body) == b"hello"
    with pytest.raises(TimedOut) as caught:
        await anext(answer.body)
    assert caught.value.phase == "idle"
    await answer.aclose()


async def test_a_trickle_ends_at_the_total(server: Server, upstream: Upstream) -> None:
    async def trickle(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        while not server.stopping.is_set() and not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    server.serve = trickle
    row = Row(timeouts=Timeouts(connect_s=1, first_byte_s=1, idle_s=1, total_s=0.2))
    answer = await upstream.send(request(server.url), row)
    with pytest.raises(TimedOut) as caught:
        async for _ in answer.body:
            pass
    assert caught.value.phase == "total"
    await answer.aclose()


async def test_a_reader_that_is_slow_itself_is_not_timed_out(
    server: Server, upstream: Upstream
) -> None:
    row = Row(timeouts=Timeouts(connect_s=1, first_byte_s=1, idle_s=0.05, total_s=5))
    answer = await upstream.send(request(server.url), row)
    assert await anext(answer.body) == b"hello"
    await asyncio.sleep(0.2)
    assert await anext(answer.body, None) is None
    await answer.aclose()


async def test_cancelling_a_reader_is_no_time_out(server: Server, upstream: Upstream) -> None:
    async def silent(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
        await server.stopping.wait()

    server.serve = silent
    answer = await upstream.send(request(server.url), Row())
    task = asyncio.ensure_future(answer.read(10))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await answer.aclose()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 100_000),
    ],
)
async def test_answers_that_break_off(server: Server, upstream: Upstream, text: bytes) -> None:
    async def broken(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    server.serve = broken
    with pytest.raises(Broken):
        await read(upstream, server.url)


async def test_a_compression_that_was_not_asked_for_is_undone(
    server: Server, upstream: Upstream
) -> None:
    async def packed(head: bytes, writer: asyncio.StreamWriter) -> None:
        data = gzip.compress(b"hello" * 100)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
        )
        writer.write(data)

    server.serve = packed
    assert await read(upstream, server.url) == b"hello" * 100


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = Upstream(named_urls=[url])
        with pytest.raises(Unreachable):
            await client.send(request(url), Row())
        await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/",
        "http://api.test/",
        "https://api.test:444/",
        "https://127.0.0.1/",
        "https://api.test@evil.test/",
        "nonsense",
    ],
)
async def test_other_hosts_are_refused_before_anything_is_sent(url: str) -> None:
    sent: list[httpx.Request] = []

    def handler(outgoing: httpx.Request) -> httpx.Response:
        sent.append(outgoing)
        return httpx.Response(200)

    client = Upstream(transport=httpx.MockTransport(handler))
    with pytest.raises(HostRefused):
        await client.send(request(url), Row(hosts=("api.test",)))
    assert sent == []
    answer = await client.send(request("https://api.test/v1"), Row(hosts=("api.test",)))
    await answer.aclose()
    assert str(sent[0].url) == "https://api.test/v1"


class Names(AbstractResolver):
    """Says what it was told to say."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("1.1.1.1", "10.0.0.1"), ("::ffff:169.254.169.254",)]
)
async def test_a_name_that_leads_inside_is_refused(addresses: tuple[str, ...]) -> None:
    guarded = GuardedResolver(Names(*addresses), frozenset({"named.test"}))
    with pytest.raises(OSError, match="not public"):
        await guarded.resolve("api.test", 443)
    assert len(await guarded.resolve("named.test", 443)) == len(addresses)


async def test_a_public_name_is_resolved() -> None:
    guarded = GuardedResolver(Names("1.1.1.1"), frozenset())
    assert [found["host"] for found in await guarded.resolve("api.test", 443)] == ["1.1.1.1"]


async def test_the_guard_stands_in_the_way_of_real_calls() -> None:
    client = Upstream()
    with pytest.raises(Unreachable):
        await client.send(request("https://localhost/"), Row(hosts=("localhost",)))
    await client.aclose()
