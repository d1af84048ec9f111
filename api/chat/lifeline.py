"""How long a call may live: its deadline, its caller going away, this process stopping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from api.chat.inflight import InFlight
from api.chat.reply import Receive, Reply

Interruption = Literal["disconnected", "shutdown"]


class Lifeline:
    """Bounds everything that a call waits for. `interrupted` says why it was cut short."""

    def __init__(
        self, *, reply: Reply, in_flight: InFlight, total_s: float, drain_s: float, drains: bool
    ) -> None:
        self._reply = reply
        self._in_flight = in_flight
        self._drain_s = drain_s
        self._drains = drains
        """Read on for the provider's report when the caller has gone."""
        self._deadline = asyncio.get_running_loop().time() + total_s
        self._scope: asyncio.Timeout | None = None
        self.draining = False
        self.interrupted: Interruption | None = None

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Ends with TimeoutError at the deadline, or as soon as the call is interrupted."""
        async with asyncio.timeout_at(self._deadline) as scope:
            self._scope = scope
            try:
                yield
            finally:
                self._scope = None

    async def watch(self, receive: Receive) -> None:
        """Wait until the caller goes away; then drain or cancel as the provider's row says."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._reply.ended:  # the server says so too when the answer is complete
            return
        self._reply.gone = True
        if self._drains and self._in_flight.may_drain():
            self.draining = True
            self._in_flight.drains += 1
            self._move(min(self._deadline, asyncio.get_running_loop().time() + self._drain_s))
        else:
            self._interrupt("disconnected")

    def shut_down(self) -> None:
        """This process stops: settle now."""
        self._interrupt("shutdown")

    def release(self) -> None:
        """The call is over."""
        if self.draining:
            self.draining = False
            self._in_flight.drains -= 1

    def _interrupt(self, why: Interruption) -> None:
        if self.interrupted is None:
            self.interrupted = why
            self._move(0.0)

    def _move(self, deadline: float) -> None:
        self._deadline = deadline
        if self._scope is not None:
            self._scope.reschedule(deadline)
