"""The load: callers that call until they are told to stop, and write down all that they saw."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

import httpx

from tests.e2e.plan import Json
from tests.torture.calls import Call, call_of

Ending = Literal["whole", "error", "torn", "left", "refused"]
"""Read to its very end, an error in an orderly answer, broken off, left by the caller, or no
connection at all."""
READ_TIMEOUT_S: Final = 20.0
REST_S: Final = 0.4


@dataclass
class Seen:
    """One call as its caller saw it."""

    call: Call
    proxy: str
    began: float
    ended: float | None = None
    ending: Ending = "torn"
    status: int | None = None
    code: str | None = None
    receipt: Json | None = None

    @property
    def pending(self) -> bool:
        """The answer came without its price: its ending could not be stored just then."""
        return self.receipt is not None and self.receipt.get("status") == "pending"


@dataclass(frozen=True)
class Door:
    """A proxy as callers know it."""

    name: str
    url: str


class Callers:
    """So many callers in a thread of their own."""

    def __init__(
        self, seed: int, *, doors: Sequence[Door], keys: Sequence[str], callers: int, pause_s: float
    ) -> None:
        """`keys`: the API key of each account."""
        self.seen: dict[int, Seen] = {}
        self._seed = seed
        self._doors = doors
        self._keys = keys
        self._callers = callers
        self._pause_s = pause_s
        self._numbers = count(0)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.failed: BaseException | None = None

    def rehearse(self, calls: int) -> None:
        """The first calls, in peace. Returns once all have been answered."""
        asyncio.run(self._work(until=calls))

    def start(self) -> None:
        """Call until `stop`."""
        self._thread = threading.Thread(target=self._run, name="callers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the running calls end; no new ones."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(60)
            assert not self._thread.is_alive(), "a caller hangs"
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            asyncio.run(self._work(until=None))
        except BaseException as error:
            self.failed = error

    async def _work(self, *, until: int | None) -> None:
        # A connection of its own for each call: a dead proxy must not spoil a pooled one.
        limits = httpx.Limits(max_keepalive_connections=0)
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=5.0)
        async with (
            httpx.AsyncClient(limits=limits, timeout=timeout, verify=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(self._callers):
                tasks.create_task(self._caller(client, until))

    async def _caller(self, client: httpx.AsyncClient, until: int | None) -> None:
        while not self._stopping.is_set():
            if until is not None and len(self.seen) >= until:
                return
            call = call_of(self._seed, next(self._numbers))
            door = self._doors[int(call.proxy * len(self._doors))]
            seen = self.seen[call.number] = Seen(call, door.name, time.time())
            await self._call(client, door, seen)
            seen.ended = time.time()
            if until is None:
                await asyncio.sleep(self._pause_s if seen.ending != "refused" else REST_S)

    async def _call(self, client: httpx.AsyncClient, door: Door, seen: Seen) -> None:
        call = seen.call
        try:
            async with asyncio.timeout(call.leave_s):
                headers = {"authorization": f"Bearer {self._keys[call.account]}"}
                url = f"{door.url}/api/v1/chat/completions"
                async with client.stream("POST", url, json=call.body(), headers=headers) as answer:
                    seen.status = answer.status_code
                    body = await answer.aread()
        except TimeoutError:
            seen.ending = "left"
        except (httpx.ConnectError, httpx.ConnectTimeout):
            seen.ending = "refused"
        except httpx.TransportError:
            seen.ending = "torn"
        else:
            _read(seen, body.decode())


def _read(seen: Seen, text: str) -> None:
    """What an answer that came to its end says."""
    if seen.status != 200:
        seen.ending = "error"
        with suppress(ValueError):
            seen.code = json.loads(text)["error"]["code"]
        return
    if not seen.call.stream:
        found = json.loads(text)
        seen.ending, seen.receipt = "whole", found["x_keytoll"]
        return
    blocks = [block.removeprefix("data: ") for block in text.split("\n\n") if block]
    if blocks and blocks[-1] == "[DONE]":
        seen.ending, seen.receipt = "whole", json.loads(blocks[-2])["x_keytoll"]
        return
    with suppress(ValueError, LookupError):
        found = json.loads(blocks[-1])
        seen.ending, seen.code = "error", found["error"]["code"]
        seen.receipt = found.get("x_keytoll")
