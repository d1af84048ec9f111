"""Ends the requests of dead processes, so that every request has its terminal event.

Whether such a call left us and what it used is unknown: nothing is billed, and reports count it as
lost. A process that comes back to life with a report in its hands bills it after all
(`api/chat/ending.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import cast
from uuid import UUID

from domain.clock import Clock
from domain.coordination.port import Leases
from domain.eventlog.port import Conflict, EventLog
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestFailed, RequestRouted

Alive = Callable[[], Collection[str]]
"""The epochs of the processes that live."""


def sweep(log: EventLog, *, epoch: str) -> int:
    """End every open request of another epoch; say how many.

    For the embedded mode, in which one process owns the store: any other epoch is dead.
    """
    return _Open(log).end_lost(lambda: {epoch})


class Sweeper:
    """The step of a worker that ends the requests of processes whose lease has lapsed.

    It looks on for a whole lease before it ends anything, and again after a gap: while the store
    was away nobody could renew, and the living shall have the time to. Several sweepers do no
    harm: each request ends once.
    """

    def __init__(
        self,
        log: EventLog,
        leases: Leases,
        clock: Clock,
        *,
        lease_s: float,
        on_lost: Callable[[int], object],
    ) -> None:
        """`on_lost` is told how many calls were found lost, whenever there were some."""
        self._open = _Open(log)
        self._leases = leases
        self._clock = clock
        self._lease_s = lease_s
        self._on_lost = on_lost
        self._looking_since_s = self._looked_s = -math.inf

    def __call__(self) -> float:
        self._leases.alive()  # raises while the store is away, and so makes a gap
        now_s, rest_s = self._clock.monotonic_s(), self._lease_s / 3
        if now_s - self._looked_s > 2 * rest_s:
            self._looking_since_s = now_s
        self._looked_s = now_s
        if now_s - self._looking_since_s >= self._lease_s:
            lost = self._open.end_lost(self._leases.alive)
            if lost:
                self._on_lost(lost)
        return rest_s


class _Open:
    """The open requests of a log, and whose they are."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._routed: dict[UUID, RequestRouted] = {}

    def end_lost(self, alive: Alive) -> int:
        """Write RequestFailed(process_lost) for those of dead processes; say how many."""
        requests = self._log.open_requests()
        routed = {each: self._routed.get(each) or self._read(each) for each in requests}
        # After the requests: a process that began in between has a lease, and no request here.
        living = alive()
        ended = [each for each in routed.values() if each.owner not in living]
        self._routed = routed
        return sum(map(self._end, ended))

    def _read(self, request: UUID) -> RequestRouted:
        return cast(RequestRouted, decode(self._log.stream(request)[0]))

    def _end(self, routed: RequestRouted) -> bool:
        event = RequestFailed(
            originator_id=routed.originator_id,
            originator_version=TERMINAL_VERSION,
            failure="process_lost",
        )
        try:
            self._log.submit(event, account_id=routed.account_id).result()
        except Conflict:
            return False  # it came to life and settled itself, or another sweeper was here
        return True
