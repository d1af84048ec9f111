"""How long a call may live: its deadline, its caller going away, this process stopping."""

from __future__ import annotations

import asyncio
from typing import Literal

from api.chat.inflight import InFlight
from api.chat.reply import Receive, Reply

Interruption = Literal["disconnected", "shutdown"]


class Lifeline:
    """Bounds everything that a call waits for. `interrupted` says why it was cut short.

    One timer for the whole call: `asyncio.timeout` would set and cancel one for every wait.
    """

    def __init__(self, *, reply: Reply, in_flight: InFlight, drain_s: float) -> None:
        self._reply = reply
        self._in_flight = in_flight
        self._drain_s = drain_s
        self._drains = False
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False
        self._waiter: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._cut = False
        """The waiter was cancelled by us."""
        self.draining = False
        self.interrupted: Interruption | None = None

    def begin(self, *, total_s: float, drains: bool) -> None:
        """An attempt begins, which may take so long; `drains`: read on for the provider's report
        when the caller has gone."""
        self._drains = drains
        if self.interrupted is None and not self._reply.gone:
            self._move(self._loop.time() + total_s)

    def __enter__(self) -> None:
        """From here to the end of the block a TimeoutError comes at the deadline, or as soon as
        the call is interrupted. Blocks follow each other, they never nest."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a call is served inside a task")
        self._waiter, self._cancelling, self._cut = task, task.cancelling(), False
        if self._expired:
            self._loop.call_soon(self._expire)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        waiter, self._waiter = self._waiter, None
        if self._cut and waiter is not None:
            still_cancelled = waiter.uncancel() > self._cancelling
            if kind is asyncio.CancelledError and not still_cancelled:
                raise TimeoutError

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
            self._move(min(self._deadline, self._loop.time() + self._drain_s))
        else:
            self._interrupt("disconnected")

    def shut_down(self) -> None:
        """This process stops: settle now."""
        self._interrupt("shutdown")

    def release(self) -> None:
        """The call is over."""
        if self._timer is not None:
            self._timer.cancel()
        if self.draining:
            self.draining = False
            self._in_flight.drains -= 1

    def _interrupt(self, why: Interruption) -> None:
        if self.interrupted is None:
            self.interrupted = why
            self._move(0.0)

    def _move(self, deadline: float) -> None:
        self._deadline = deadline
        self._expired = False
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expired = True
        if self._waiter is not None and not self._cut:
            self._cut = True
            self._waiter.cancel()
