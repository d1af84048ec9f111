"""The sandbox provider as an ASGI application: /chat/completions, /models and /served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from itertools import islice
from typing import Any, Final

from domain.clock import Clock
from keytoll.sandbox.ledger import Ledger, Served
from keytoll.sandbox.model import MODELS, Ask, Refused, SandboxError, check_key, read_ask

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CUT: Final = "keytoll.sandbox.cut"
"""ASGI extension of the sandbox's server: a function that closes the connection as it is."""
BODY_BYTES_MAX: Final = 64 * 2**20
WORD_PAUSE_S: Final = 0.05


class ConnectionCut(SandboxError):
    """The answer ends in the middle, on purpose. A server without the CUT extension sees this."""


def sandbox_app(clock: Clock, *, word_pause_s: float = WORD_PAUSE_S) -> App:
    """The provider, with a ledger of its own that starts empty."""
    return _Sandbox(clock, word_pause_s=word_pause_s)


class _Sandbox:
    def __init__(self, clock: Clock, *, word_pause_s: float) -> None:
        self._clock = clock
        self._word_pause_s = word_pause_s
        self._ledger = Ledger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        peer = _Peer(scope, receive, send)
        try:
            await self._route(scope, peer)
        except Refused as refusal:
            self._ledger.refused += 1
            await peer.json(refusal.status, refusal.body)
        except ConnectionCut:
            if not peer.was_cut:
                raise
        finally:
            peer.release()

    async def _route(self, scope: Scope, peer: _Peer) -> None:
        path = scope["path"].removeprefix("/v1")
        match scope["method"], path:
            case "POST", "/chat/completions":
                await self._chat(scope, peer)
            case "GET", "/models":
                check_key(_authorization(scope))
                await peer.json(200, {"object": "list", "data": [_entry(m) for m in MODELS]})
            case "GET", "/served":
                await peer.json(200, self._ledger.as_json())
            case method, _:
                raise Refused(404, f"Invalid URL ({method} {path[:100]})")

    async def _chat(self, scope: Scope, peer: _Peer) -> None:
        check_key(_authorization(scope))
        ask = read_ask(await peer.body())
        call = self._ledger.begin(
            f"sandbox/{ask.behaviour}", stream=ask.stream, prompt_tokens=ask.prompt_tokens
        )
        peer.watch()
        try:
            await (self._stream if ask.stream else self._whole)(ask, call, peer)
        finally:
            if call.state == "running":
                self._ledger.end(call, "cancelled")

    async def _whole(self, ask: Ask, call: Served, peer: _Peer) -> None:
        if ask.behaviour == "slow":
            for _ in ask.answer.words:
                if await peer.gone(self._word_pause_s):
                    return
                call.completion_tokens += ask.choices
        call.completion_tokens = ask.answer.tokens * ask.choices
        choices = [
            {
                "index": index,
                "message": _message(ask, call),
                "logprobs": None,
                "finish_reason": ask.answer.finish_reason,
            }
            for index in range(ask.choices)
        ]
        body = self._envelope(ask, call, "chat.completion") | {"choices": choices}
        if ask.behaviour != "silent":
            body["usage"] = _usage(call)
        data = _json(body)
        if ask.behaviour == "cut":
            self._ledger.end(call, "cut")
            await peer.start(200, "application/json", length=len(data), call_id=call.id)
            await peer.cut(data[: len(data) // 2])
        if await peer.gone():
            return
        self._ledger.end(call, "complete")
        await peer.start(200, "application/json", length=len(data), call_id=call.id)
        await peer.send_last(data)

    async def _stream(self, ask: Ask, call: Served, peer: _Peer) -> None:
        await peer.start(200, "text/event-stream; charset=utf-8", call_id=call.id)
        if not await self._stream_deltas(ask, call, peer):
            return
        if ask.behaviour == "cut":
            self._ledger.end(call, "cut")
            await peer.cut(b'data: {"id":"')
        for index in range(ask.choices):
            await peer.send_event(self._chunk(ask, call, index, {}, ask.answer.finish_reason))
        if ask.include_usage and ask.behaviour != "silent":
            envelope = self._envelope(ask, call, "chat.completion.chunk")
            await peer.send_event(envelope | {"choices": [], "usage": _usage(call)})
        self._ledger.end(call, "complete")
        await peer.send_last(b"data: [DONE]\n\n")

    async def _stream_deltas(self, ask: Ask, call: Served, peer: _Peer) -> bool:
        """Send what the model says, all of it or half; False when the peer left before the end."""
        half = 1 + max(1, len(ask.answer.words) // 2)
        deltas = islice(_deltas(ask, call), half if ask.behaviour == "cut" else None)
        for number, delta in enumerate(deltas):
            pause_s = self._word_pause_s if ask.behaviour == "slow" and number else 0
            if await peer.gone(pause_s):
                return False
            # The opening delta holds no word; that of a tool call holds the tool's name.
            if number or ask.answer.tool is not None:
                call.completion_tokens += ask.choices
            for index in range(ask.choices):
                await peer.send_event(self._chunk(ask, call, index, delta, None))
        return True

    def _envelope(self, ask: Ask, call: Served, kind: str) -> dict[str, Any]:
        return {
            "id": call.id,
            "object": kind,
            "created": int(self._clock.now().timestamp()),
            "model": ask.model,
            "service_tier": "default",
            "system_fingerprint": "fp_sandbox",
        }

    def _chunk(
        self, ask: Ask, call: Served, index: int, delta: object, finish_reason: str | None
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        chunk = self._envelope(ask, call, "chat.completion.chunk") | {"choices": [choice]}
        return chunk | {"usage": None} if ask.include_usage else chunk


class _Peer:
    """The other end of one connection, as far as ASGI tells."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._cut = (scope.get("extensions") or {}).get(CUT)
        self._receive = receive
        self._send = send
        self._left = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self.was_cut = False

    async def body(self) -> bytes:
        """The whole body; raises when it is too large or breaks off."""
        data = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.was_cut = True
                raise ConnectionCut
            data += message.get("body", b"")
            if len(data) > BODY_BYTES_MAX:
                raise Refused(413, "The request is too large.")
            if not message.get("more_body"):
                return bytes(data)

    def watch(self) -> None:
        """From now on notice when the peer leaves. Only after the body has been read."""
        self._watch = asyncio.ensure_future(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left.set()

    def release(self) -> None:
        """Stop watching."""
        if self._watch:
            self._watch.cancel()

    async def gone(self, pause_s: float = 0) -> bool:
        """Whether the peer has left, at once or within the pause."""
        if not pause_s:
            await asyncio.sleep(0)
            return self._left.is_set()
        try:
            await asyncio.wait_for(self._left.wait(), pause_s)
        except TimeoutError:
            return False
        return True

    async def start(
        self, status: int, content_type: str, *, length: int | None = None, call_id: str = ""
    ) -> None:
        """The head of the answer."""
        headers = [(b"content-type", content_type.encode())]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        if call_id:
            headers.append((b"x-request-id", call_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_event(self, data: object) -> None:
        """One server-sent event."""
        body = b"data: " + _json(data) + b"\n\n"
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def send_last(self, data: bytes) -> None:
        """The end of the answer."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def json(self, status: int, body: object) -> None:
        """A whole answer."""
        data = _json(body)
        await self.start(status, "application/json", length=len(data))
        await self.send_last(data)

    async def cut(self, last_words: bytes) -> None:
        """Send a last piece and close the connection without an end. Always raises."""
        await self._send({"type": "http.response.body", "body": last_words, "more_body": True})
        if self._cut:
            self.was_cut = True
            self._cut()
            await self._left.wait()
        raise ConnectionCut


def _json(value: object) -> bytes:
    # Half of a surrogate pair is valid in JSON's escapes and has no UTF-8.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _authorization(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(b"authorization", b"").decode("latin-1")


def _entry(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 1_767_225_600, "owned_by": "sandbox"}


def _message(ask: Ask, call: Served) -> dict[str, Any]:
    text = "".join(ask.answer.pieces())
    if ask.answer.tool is None:
        return {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    function = {"name": ask.answer.tool, "arguments": text}
    called = {"id": f"call_{call.id}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [called]}


def _deltas(ask: Ask, call: Served) -> Iterator[dict[str, Any]]:
    """The opening delta, then one for each word."""
    if ask.answer.tool is None:
        yield {"role": "assistant", "content": "", "refusal": None}
        for piece in ask.answer.pieces():
            yield {"content": piece}
        return
    function = {"name": ask.answer.tool, "arguments": ""}
    called = {"index": 0, "id": f"call_{call.id}", "type": "function", "function": function}
    yield {"role": "assistant", "content": None, "tool_calls": [called]}
    for piece in ask.answer.pieces():
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _usage(call: Served) -> dict[str, Any]:
    return {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.prompt_tokens + call.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
