"""Seals every chain of the log: hourly, and once all have become quiet after new events.

A seal is the heartbeat that closing waits for, and its root is also written outside the store, so
that a cut or rewritten log is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from domain.clock import Clock, parse_instant
from domain.eventlog.port import EventLog, Recorded
from domain.events.store import LogSealed, store_stream

SEAL_INTERVAL_S: Final = 3600.0
QUIET_S: Final = 30.0
LOOK_S: Final = 1.0
SEAL_TIMEOUT_S: Final = 60.0

Checkpoint = Callable[[Recorded], object]
"""Writes a seal down outside the store; may raise OSError, and is then called again."""


class Sealer:
    """Seals on demand, and by itself as the step of a worker."""

    def __init__(
        self,
        log: EventLog,
        *,
        clock: Clock,
        checkpoint: Checkpoint,
        interval_s: float = SEAL_INTERVAL_S,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._log = log
        self._clock = clock
        self._checkpoint = checkpoint
        self._interval_s = interval_s
        self._quiet_s = quiet_s
        self._lock = Lock()
        self._sealed: dict[str, int] = {}
        self._sealed_at_s: float | None = None
        self._heads: dict[str, int] = {}
        self._moved_at_s = 0.0
        self._unwritten: list[Recorded] = []

    def seal(self) -> Sequence[Recorded]:
        """Seal every chain now. Returns once all is durable and its checkpoints are written."""
        with self._lock:
            seals = self._log.seal().result(SEAL_TIMEOUT_S)
            self._sealed = {seal.store_id: seal.seq for seal in seals}
            self._sealed_at_s = self._clock.monotonic_s()
            self._unwritten += seals
            self._write()
            return seals

    def __call__(self) -> float:
        now_s = self._clock.monotonic_s()
        heads = {chain.written.store_id: chain.written.head() for chain in self._log.chains()}
        if heads != self._heads:
            self._heads, self._moved_at_s = heads, now_s
        if self._unwritten:
            with self._lock:
                self._write()
        if self._due(now_s):
            self.seal()
        return min(LOOK_S, self._interval_s)

    def _due(self, now_s: float) -> bool:
        if self._sealed_at_s is None:
            self._sealed_at_s = now_s - self._age_s()
        quiet = now_s - self._moved_at_s >= self._quiet_s
        if quiet and any(head > self._sealed.get(at, 0) for at, head in self._heads.items()):
            return True
        return now_s - self._sealed_at_s >= self._interval_s

    def _age_s(self) -> float:
        """How long ago the log was sealed, by whatever process; 0 if it never was."""
        ages_s = [0.0]
        for chain in self._log.chains():
            at = chain.written.store_id
            seals = [
                each
                for each in chain.written.stream(store_stream(at))
                if each.store_id == at and each.topic == LogSealed.TOPIC
            ]
            if seals:
                self._sealed[at] = seals[-1].seq
                since = self._clock.now() - parse_instant(seals[-1].recorded_at)
                ages_s.append(since.total_seconds())
        return max(ages_s)

    def _write(self) -> None:
        while self._unwritten:
            self._checkpoint(self._unwritten[0])
            del self._unwritten[0]
