"""Locks and leases for one process: the embedded mode, where nobody else may own the stores."""

from __future__ import annotations

from threading import Condition, Lock

from domain.clock import Clock


class MemoryLocks:
    """A set of names."""

    def __init__(self) -> None:
        self._change = Condition()
        self._holders: dict[str, MemoryHeld] = {}

    def take(self, name: str, *, wait_s: float = 0.0) -> MemoryHeld | None:
        with self._change:
            if not self._change.wait_for(lambda: name not in self._holders, timeout=wait_s):
                return None
            lock = self._holders[name] = MemoryHeld(self, name)
            return lock

    def close(self) -> None:
        with self._change:
            self._holders.clear()
            self._change.notify_all()

    def holds(self, lock: MemoryHeld) -> bool:
        """Whether this very lock is held."""
        return self._holders.get(lock.name) is lock

    def give_up(self, lock: MemoryHeld) -> None:
        """End this very lock, if it is held."""
        with self._change:
            if self.holds(lock):
                del self._holders[lock.name]
                self._change.notify_all()


class MemoryHeld:
    """One name, held."""

    def __init__(self, locks: MemoryLocks, name: str) -> None:
        self._locks = locks
        self.name = name

    def still(self) -> bool:
        return self._locks.holds(self)

    def release(self) -> None:
        self._locks.give_up(self)


class MemoryLeases:
    """A dictionary, by the monotonic clock of the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._until: dict[str, float] = {}

    def renew(self, epoch: str, *, for_s: float) -> bool:
        with self._lock:
            now_s = self._clock.monotonic_s()
            before = self._until.get(epoch, now_s + for_s)
            self._until[epoch] = now_s + for_s
            return before > now_s

    def release(self, epoch: str) -> None:
        with self._lock:
            self._until.pop(epoch, None)

    def alive(self) -> frozenset[str]:
        with self._lock:
            now_s = self._clock.monotonic_s()
            return frozenset(epoch for epoch, until in self._until.items() if until > now_s)

    def close(self) -> None:
        """Nothing is held outside the process."""
