"""A scripted provider for benchmarks: OpenAI's answers, the same bytes every time, at little cost.

`python -m bench.upstream` listens on a free loopback port and prints `{"port": …}`. A request with
`"stream": true` gets 58 chunks, all in one write; with `"seed": 58` too, each in a write of its
own. `GET /served` answers how many requests it has answered.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Final, cast

import uvloop

CHUNKS: Final = 58
_STREAM: Final = re.compile(rb'"stream":\s*true')
_SPREAD: Final = re.compile(rb'"seed":\s*58\b')
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_USAGE: Final = {"prompt_tokens": 42, "completion_tokens": 55, "total_tokens": 97}


def _whole() -> bytes:
    words = "A toll is paid where the road is used, and once only. " * 12
    message = {"role": "assistant", "content": words, "refusal": None}
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1767225600,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            ],
            "usage": _USAGE,
            "system_fingerprint": "fp_bench",
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _event(choices: list[object], usage: object) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": "gpt-4o-mini-2024-07-18",
        "system_fingerprint": "fp_bench",
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _delta(delta: object, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event([choice], None)


def _framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _streamed() -> tuple[bytes, list[bytes], bytes]:
    """Head, chunks, end."""
    words = [_delta({"content": f" word{number}"}) for number in range(CHUNKS - 3)]
    events = [_delta({"role": "assistant", "content": ""}), *words]
    events += [_delta({}, "stop"), _event([], _USAGE)]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    return head, [_framed(event) for event in events], _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


WHOLE: Final = _whole()
HEAD, EVENTS, END = _streamed()
BURST: Final = HEAD + b"".join(EVENTS) + END


class _Provider(asyncio.Protocol):
    """One connection. Requests come one after another; pipelining is not needed."""

    served = 0

    def __init__(self) -> None:
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._spreading: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head = self._data.find(b"\r\n\r\n")
        if head < 0 or self._transport is None:
            return
        length = _LENGTH.search(self._data, 0, head + 2)
        end = head + 4 + (int(length[1]) if length else 0)
        if len(self._data) < end:
            return
        request, self._data = self._data[:end], self._data[end:]
        if request.startswith(b"GET /served"):
            body = json.dumps({"served": _Provider.served}).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
            self._transport.write(body)
            return
        _Provider.served += 1
        if not _STREAM.search(request, head):
            self._transport.write(WHOLE)
        elif _SPREAD.search(request, head):
            self._spreading = asyncio.ensure_future(self._spread(self._transport))
        else:
            self._transport.write(BURST)

    async def _spread(self, transport: asyncio.Transport) -> None:
        transport.write(HEAD)
        for event in EVENTS:
            transport.write(event)
            await asyncio.sleep(0.0005)
        transport.write(END)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Provider, "127.0.0.1", 0, backlog=2048)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    # Whoever started us closes our stdin when the benchmark is over.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())
