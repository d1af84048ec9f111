"""What is under way in this process: its number, its orderly end, and events not yet stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from api.chat.ending import store_ending
from api.errors import ApiError
from domain.eventlog.port import Conflict, EventLog, StoreUnavailable
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestFailed, RequestRouted

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
SETTLE_S: Final = 10.0
"""How long interrupted calls get to record their end."""
UNSENT_LOOKS_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Between looks whether a request was recorded after all: longer than a batch can be under way."""
_log = structlog.get_logger("keytoll.calls")


class InFlight:
    """The calls of this process. Lives on the event loop; not thread-safe."""

    def __init__(
        self, log: EventLog, *, per_account_max: int, drains_max: int, calls_max: int = 1_000_000
    ) -> None:
        self._log = log
        self._calls_max = calls_max
        self._per_account_max = per_account_max
        self._drains_max = drains_max
        self._per_account: Counter[str] = Counter()
        self._interrupts: dict[str, Callable[[], None]] = {}
        self._unstored: set[asyncio.Task[None]] = set()
        self._unsent: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.drains = 0
        self.stopping = False

    def __len__(self) -> int:
        return len(self._interrupts)

    @property
    def store_failing(self) -> bool:
        """A terminal event waits to be stored: no new call may start."""
        return bool(self._unstored)

    def has_room(self, account_id: str) -> bool:
        """The process, and the account, may have one more call at the same time."""
        room = len(self._interrupts) < self._calls_max
        return room and self._per_account[account_id] < self._per_account_max

    def enter(self, request_id: str, account_id: str, interrupt: Callable[[], None]) -> None:
        """A call takes its place; `interrupt` makes it settle at once with what it has.

        Raises ApiError 429 when there is no place, Conflict when this very request is under way.
        """
        if not self.has_room(account_id):
            raise ApiError(
                429,
                "rate_limit_exceeded",
                "Too many requests of this account are being served at once.",
                headers={"retry-after": "1"},
            )
        if request_id in self._interrupts:
            raise Conflict(f"{request_id} is being served")
        self._per_account[account_id] += 1
        self._interrupts[request_id] = interrupt
        self._idle.clear()

    def leave(self, request_id: str, account_id: str) -> None:
        """A call has its terminal event (or has handed it over), or was never recorded."""
        self._per_account[account_id] -= 1
        if not self._per_account[account_id]:
            del self._per_account[account_id]
        del self._interrupts[request_id]
        if not self._interrupts:
            self._idle.set()

    def may_drain(self) -> bool:
        """One more abandoned answer may be read to its end."""
        return self.drains < self._drains_max

    def keep_storing(self, event: Event, *, account_id: str) -> None:
        """Store a terminal event that could not be stored, however long it takes."""
        task = asyncio.get_running_loop().create_task(self._store(event, account_id))
        self._unstored.add(task)
        task.add_done_callback(self._unstored.discard)

    async def _store(self, event: Event, account_id: str) -> None:
        delay_s = RETRY_FIRST_S
        while True:
            try:
                await store_ending(self._log, event, account_id=account_id)
            except StoreUnavailable:
                _log.error("terminal_event_not_stored", request=str(event.originator_id))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
            else:
                return

    def end_unsent(self, routed: RequestRouted) -> None:
        """Nothing of this request was sent, since the store did not take it; or so it said.

        An answer that was lost on its way may have been a yes. Then the request ends as
        unreachable: left open, it would keep its account's period open, and its Idempotency-Key
        taken, for as long as this process lives.
        """
        task = asyncio.get_running_loop().create_task(self._end_unsent(routed))
        self._unsent.add(task)
        task.add_done_callback(self._unsent.discard)

    async def _end_unsent(self, routed: RequestRouted) -> None:
        for pause_s in UNSENT_LOOKS_S:
            await asyncio.sleep(pause_s)
            while True:
                try:
                    found = await self._ended_unsent(routed)
                except StoreUnavailable:
                    await asyncio.sleep(RETRY_MAX_S)
                else:
                    break
            if found:
                return

    async def _ended_unsent(self, routed: RequestRouted) -> bool:
        """Whether the request was recorded; then it is ended."""
        stream = await asyncio.to_thread(self._log.stream, routed.originator_id)
        if not stream:
            return False
        stored = decode(stream[0])
        # Under an Idempotency-Key somebody else may be serving the request by now.
        if isinstance(stored, RequestRouted) and _same(stored, routed):
            event = RequestFailed(
                originator_id=routed.originator_id,
                originator_version=TERMINAL_VERSION,
                failure="unreachable",
            )
            with suppress(Conflict):
                await self._log.append(event, account_id=routed.account_id)
        return True

    async def stop(self, *, limit_s: float) -> None:
        """Refuse new calls, let running ones end within the limit, then settle the rest."""
        self.stopping = True
        try:
            async with asyncio.timeout(limit_s):
                await self._idle.wait()
        except TimeoutError:
            for interrupt in list(self._interrupts.values()):
                interrupt()
            # They settle at once; but whoever does not read the end of an answer is not waited for.
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S):
                    await self._idle.wait()
        if self._unstored:
            await asyncio.wait(self._unstored, timeout=limit_s)


def _same(one: RequestRouted, other: RequestRouted) -> bool:
    """Routed by the same process at the same instant."""
    return (one.owner, one.price_at) == (other.owner, other.price_at)
