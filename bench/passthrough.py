"""The least that a gateway can cost: `python -m bench.passthrough [requests]`.

A raw ASGI application that passes a request to the scripted provider and the answer back, with
the same server and the same HTTP client as keytoll and nothing else. `bench.gateway` measures
keytoll against it. With `--serve URL` it is that application, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import httpx
import uvicorn
import uvloop
from httpx_aiohttp import AiohttpTransport

from bench.measure import MODES, Figures, header, line, measure, start_module, start_upstream

SUBJECT: Final = "passthrough"
REQUESTS: Final = 3000

Message = MutableMapping[str, Any]


class Passthrough:
    """One route, no parsing."""

    def __init__(self, base_url: str) -> None:
        self._url = httpx.URL(f"{base_url}/chat/completions")
        self._transport = AiohttpTransport(client=self._session)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1000), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
        request = httpx.Request("POST", self._url, headers=headers, content=body)
        answer = await self._transport.handle_async_request(request)
        passed = [(b"content-type", answer.headers["content-type"].encode())]
        if "content-length" in answer.headers:
            passed.append((b"content-length", answer.headers["content-length"].encode()))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": passed})
        async for data in answer.stream:  # type: ignore[union-attr]
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await answer.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _serve(base_url: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    application = Passthrough(base_url)
    config = uvicorn.Config(
        application,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving
    await application.aclose()


@contextmanager
def start_passthrough(upstream: str) -> Iterator[tuple[str, int]]:
    """The application in front of `upstream`; yields (base URL, process id)."""
    with start_module("bench.passthrough", "--serve", upstream) as (port, pid):
        yield f"http://127.0.0.1:{port}/v1", pid


def main(requests: int) -> list[Figures]:
    """Measure every mode at 1 and at 16 connections, and print."""
    print(header())
    measured = []
    with start_upstream() as upstream, start_passthrough(upstream) as (base_url, pid):
        for mode in MODES:
            for connections in (1, 16):
                figures = measure(
                    SUBJECT, base_url, pid, mode=mode, connections=connections, requests=requests
                )
                measured.append(figures)
                print(line(figures), flush=True)
    return measured


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(_serve(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else REQUESTS)
