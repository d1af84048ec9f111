"""Heads of requests that are too long, or that never end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from keytoll.heads import HEAD_BYTES_MAX, BoundedHeads

GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def application(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected() -> AsyncIterator[Ends]:
    """A connection to a server with bounded heads."""
    config = uvicorn.Config(application, http=BoundedHeads, lifespan="off", log_config=None)
    config.load()
    state = uvicorn.Server(config).server_state
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: BoundedHeads(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        server.close()


@pytest.mark.parametrize("fresh_lines", [True, False])
async def test_a_head_without_end_is_refused(*, fresh_lines: bool) -> None:
    async with connected() as (reader, writer):
        answering = asyncio.ensure_future(reader.read())
        writer.write(GET + b"x-long: ")
        for number in range(20):
            line = b"\r\nx-%d: " % number if fresh_lines else b""
            writer.write(line + b"a" * (HEAD_BYTES_MAX // 4))
            done, _ = await asyncio.wait({answering}, timeout=0.02)
            if done:
                break
        answer = await answering
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"request_too_large"' in answer


@pytest.mark.parametrize("begun", [b"", b"GET", GET])
async def test_a_head_that_does_not_come_is_given_up(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keytoll.heads.HEAD_S", 0.05)
    async with connected() as (reader, writer):
        writer.write(begun)
        assert await reader.read() == b""


async def test_a_slow_body_and_a_second_request_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keytoll.heads.HEAD_S", 0.1)
    body = b"b" * (2 * HEAD_BYTES_MAX)
    async with connected() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        await asyncio.sleep(0.2)
        # The rest of one request and the beginning of the next in one read.
        writer.write(body + GET)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"x-more: %s\r\n\r\n" % (b"a" * (HEAD_BYTES_MAX // 2)))
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
