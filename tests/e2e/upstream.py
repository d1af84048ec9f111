"""A provider that does what a test tells it, over plain sockets, and keeps its own count."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from tests.e2e.plan import Ask, Gate, Json, Piece, Plan
from tests.e2e.script import plan_of
from tests.e2e.voices import VOICES

State = Literal["running", "whole", "cut", "left", "refused"]
"""Being answered, read whole, cut by us, left by the peer, or answered with an error."""
HEAD_BYTES_MAX: Final = 64 * 1024
WAIT_S: Final = 20.0
_SIGNED: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")


@dataclass
class Served:
    """One call in the upstream's own book."""

    id: str
    name: str
    """What the test calls it."""
    slug: str
    model: str
    stream: bool
    prompt_tokens: int
    completion_tokens: int
    state: State = "running"
    head_sent: bool = False
    left_at: float | None = None
    """When the peer closed the connection in the middle (time.monotonic)."""


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        for name in ("x-api-key", "api-key", "x-goog-api-key"):
            if name in self.headers:
                return self.headers[name]
        shown = self.headers.get("authorization", "")
        signed = _SIGNED.match(shown)
        return signed[1] if signed else shown.removeprefix("Bearer ")


class ScriptedUpstream:
    """Speaks as each provider does, at the path of its slug; in a thread."""

    def __init__(self) -> None:
        self.served: list[Served] = []
        self.bodies: list[Json] = []
        """Every request body, in order."""
        self.asks: list[Ask] = []
        """The same, understood."""
        self.keys: list[str] = []
        """The provider key of every request, in order."""
        self.plans: dict[str, Callable[[Ask], Plan]] = {}
        """Answers of a test's own: name of the call → plan."""
        self.reached: Counter[str] = Counter()
        """How many calls stand or have stood at each gate."""
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._gates: dict[str, asyncio.Event] = {}
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def base_urls(self) -> dict[str, str]:
        """For KEYTOLL_UPSTREAMS."""
        return {slug: f"{self.address}/{slug}" for slug in VOICES}

    def call(self, name: str) -> Served:
        """The one call of this name."""
        found = [each for each in self.served if each.name == name]
        assert len(found) == 1, f"{name} was served {len(found)} times"
        return found[0]

    def wait(self, done: Callable[[], bool], *, timeout_s: float = WAIT_S) -> None:
        """Until something that this upstream knows has come true."""
        with self._changed:
            assert self._changed.wait_for(done, timeout_s), "the upstream waited in vain"

    def wait_at(self, gate: str, calls: int) -> None:
        """Until so many calls have reached a gate."""
        self.wait(lambda: self.reached[gate] >= calls)

    def open_gate(self, name: str) -> None:
        """Let the calls at a gate go on, and those that come later."""
        self._loop.call_soon_threadsafe(lambda: self._gate(name).set())

    def close_gate(self, name: str) -> None:
        """Hold the calls that come to a gate from now on."""
        self._loop.call_soon_threadsafe(lambda: self._gate(name).clear())

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(
            self._converse, "127.0.0.1", 0, limit=64 * 1024 * 1024, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            while (request := await _read(reader)) is not None:
                if not await self._answer(request, reader, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass  # the peer has gone; the book says so already
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._conversations.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(
        self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False if the connection is over."""
        if request.method == "GET":
            return await _say(writer, *self._look_up(request))
        try:
            served, plan = self._begin(request, json.loads(request.body))
        except (TypeError, ValueError, LookupError, AttributeError):
            # Damaged on purpose: as any provider, refuse what makes no sense.
            return await _say(writer, 400, {"error": {"message": "What do you mean?"}})
        gone = asyncio.ensure_future(_until_gone(reader))
        playing = asyncio.ensure_future(self._play(plan, served, writer))
        try:
            await asyncio.wait({gone, playing}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done() and playing.exception() is None:
                return playing.result()
            self._end_call(served, "left")
            return False
        finally:
            for task in (gone, playing):
                task.cancel()
            await asyncio.gather(gone, playing, return_exceptions=True)

    def _look_up(self, request: _Request) -> tuple[int, Json]:
        if request.path == "/served":
            return 200, {"calls": [asdict(each) for each in self.served]}
        if request.path.endswith("/models"):
            if request.key.endswith("-revoked"):
                return 401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}
            return 200, {"object": "list", "data": []}
        return 404, {"error": {"message": "no such path"}}

    def _begin(self, request: _Request, body: Json) -> tuple[Served, Plan]:
        _, slug, path = request.path.split("/", 2)
        voice = VOICES[slug]
        heard = voice.hear(f"/{path}", body)
        with self._changed:
            number = len(self.served) + 1
            ask = Ask(
                slug, voice, f"/{path}", body, heard, f"up-{number}", 100 + number, 1000 + number
            )
            own = self.plans.get(ask.name)
            plan = own(ask) if own is not None else plan_of(ask, request.key)
            served = Served(
                id=ask.identity,
                name=ask.name,
                slug=slug,
                model=ask.model,
                stream=ask.stream,
                prompt_tokens=ask.prompt_tokens if plan.billed else 0,
                completion_tokens=ask.completion_tokens if plan.billed else 0,
            )
            self.served.append(served)
            self.bodies.append(body)
            self.keys.append(request.key)
            self.asks.append(ask)
            self._changed.notify_all()
        return served, plan

    async def _play(self, plan: Plan, served: Served, writer: asyncio.StreamWriter) -> bool:
        if plan.before_head is not None:
            await self._pause(plan.before_head)
        if plan.status != 200:
            self._end_call(served, "refused")
        if plan.ending == "cut" and not plan.pieces:
            self._end_call(served, "cut")
            return False
        headers = dict(plan.headers)
        if plan.framing == "length":
            size = sum(len(piece) for piece in plan.pieces if isinstance(piece, bytes))
            headers.setdefault("content-length", str(size))
        elif plan.framing == "chunked":
            headers["transfer-encoding"] = "chunked"
        else:
            headers["connection"] = "close"
        writer.write(_head(plan.status, headers))
        with self._changed:
            served.head_sent = True
            self._changed.notify_all()
        for piece in plan.pieces:
            if isinstance(piece, bytes):
                writer.write(_framed(piece) if plan.framing == "chunked" else piece)
                await writer.drain()
            else:
                await self._pause(piece)
        if plan.ending == "cut":
            self._end_call(served, "cut")
            return False
        if plan.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        self._end_call(served, "whole")
        return plan.framing != "close"

    async def _pause(self, piece: Piece) -> None:
        if isinstance(piece, float):
            await asyncio.sleep(piece)
        elif isinstance(piece, Gate):
            with self._changed:
                self.reached[piece.name] += 1
                self._changed.notify_all()
            await self._gate(piece.name).wait()

    def _end_call(self, served: Served, state: State) -> None:
        with self._changed:
            if served.state == "running":
                served.state = state
                if state == "left":
                    served.left_at = time.monotonic()
            self._changed.notify_all()


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines if ": " in line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Request(method, path, headers, body)


async def _until_gone(reader: asyncio.StreamReader) -> None:
    """Nothing may come while an answer is under way, so whatever comes is the end."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def _say(writer: asyncio.StreamWriter, status: int, body: Any) -> bool:
    data = json.dumps(body).encode()
    writer.write(
        _head(status, {"content-type": "application/json", "content-length": str(len(data))})
    )
    writer.write(data)
    await writer.drain()
    return True


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def _framed(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if piece else b""
