"""The caller of a benchmark, in a process of its own: raw sockets, kept alive, one call at a time.

`python -m bench.load` reads one job as JSON from stdin, warms up, prints `ready`, waits for a line
on stdin, runs, and prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True)
class Job:
    """What to send, how often, over how many connections."""

    url: str
    headers: dict[str, str]
    body: str
    connections: int
    warm_up: int
    requests: int


class _Caller(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def call(self, request: bytes) -> asyncio.Future[bytes]:
        assert self._transport is not None
        self._data.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._answer and not self._answer.done() and self._is_whole():
            self._answer.set_result(bytes(self._data))

    def _is_whole(self) -> bool:
        head = self._data.find(b"\r\n\r\n")
        if head < 0:
            return False
        top = bytes(self._data[:head]).lower()
        if b"transfer-encoding: chunked" in top:
            return self._data.endswith(b"0\r\n\r\n")
        for line in top.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(self._data) >= head + 4 + int(line[15:])
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed before the answer"))


def _request(job: Job) -> bytes:
    url = urlsplit(job.url)
    body = job.body.encode()
    headers = {"host": url.netloc, "content-type": "application/json", **job.headers}
    lines = [f"POST {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


async def _work(caller: _Caller, request: bytes, count: int, took_s: list[float]) -> int:
    failed = 0
    for _ in range(count):
        start = time.perf_counter()
        answer = await caller.call(request)
        took_s.append(time.perf_counter() - start)
        failed += not answer.startswith(b"HTTP/1.1 200")
        if failed == 1 and not answer.startswith(b"HTTP/1.1 200"):
            print(answer[:600].decode(errors="replace"), file=sys.stderr)
    return failed


async def _run(job: Job) -> None:
    loop = asyncio.get_running_loop()
    url = urlsplit(job.url)
    callers = [
        (await loop.create_connection(_Caller, url.hostname or "", url.port or 80))[1]
        for _ in range(job.connections)
    ]
    request = _request(job)

    async def everybody(requests: int) -> tuple[int, list[float], float]:
        took_s: list[float] = []
        start = time.perf_counter()
        share = max(1, requests // job.connections)
        work = [_work(caller, request, share, took_s) for caller in callers]
        failed = sum(await asyncio.gather(*work))
        return failed, took_s, time.perf_counter() - start

    await everybody(job.warm_up)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    failed, took_s, wall_s = await everybody(job.requests)
    took_s.sort()
    print(
        json.dumps(
            {
                "requests": len(took_s),
                "failed": failed,
                "wall_s": wall_s,
                "p50_ms": 1000 * took_s[len(took_s) // 2],
                "p99_ms": 1000 * took_s[len(took_s) * 99 // 100],
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    uvloop.run(_run(Job(**json.loads(sys.stdin.readline()))))
