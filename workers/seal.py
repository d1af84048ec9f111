"""Seals the log: hourly, and once it has become quiet after new events.

A seal is the heartbeat that closing waits for, and its root is also written outside the store, so
that a cut or rewritten log is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

from domain.clock import Clock
from domain.eventlog.port import EventLog, Recorded

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
        self._sealed = 0
        self._sealed_at_s: float | None = None
        self._head = -1
        self._moved_at_s = 0.0
        self._unwritten: list[Recorded] = []

    def seal(self) -> Recorded:
        """Seal now. Returns once the seal is durable and its checkpoint written."""
        with self._lock:
            (seal,) = self._log.seal().result(SEAL_TIMEOUT_S)
            self._sealed, self._sealed_at_s = seal.seq, self._clock.monotonic_s()
            self._unwritten.append(seal)
            self._write()
            return seal

    def __call__(self) -> float:
        now_s = self._clock.monotonic_s()
        head = self._log.head()
        if head != self._head:
            self._head, self._moved_at_s = head, now_s
        if self._unwritten:
            with self._lock:
                self._write()
        if self._due(now_s):
            self.seal()
        return min(LOOK_S, self._interval_s)

    def _due(self, now_s: float) -> bool:
        if self._sealed_at_s is None:
            self._sealed_at_s = now_s
        quiet = now_s - self._moved_at_s >= self._quiet_s
        if self._head > self._sealed and quiet:
            return True
        return now_s - self._sealed_at_s >= self._interval_s

    def _write(self) -> None:
        while self._unwritten:
            self._checkpoint(self._unwritten[0])
            del self._unwritten[0]
