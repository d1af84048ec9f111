"""A named worker: one thread that does the same step again and again until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from domain.eventlog.feed import FeedUnavailable
from domain.eventlog.port import StoreUnavailable
from projections.store.port import ProjectionUnavailable

Status = Literal["new", "running", "retrying", "failed", "stopped"]

INFRASTRUCTURE: Final = (FeedUnavailable, ProjectionUnavailable, StoreUnavailable, OSError)
"""What passes by itself: tried again for ever."""
RETRY_S_FIRST: Final = 0.2
RETRY_S_MAX: Final = 10.0
STOP_TIMEOUT_S: Final = 30.0

Step = Callable[[], float]
"""One unit of work; returns the seconds to rest, 0 for none."""


@dataclass(frozen=True, slots=True)
class State:
    """What a worker is doing, for operators."""

    name: str
    status: Status = "new"
    error: str | None = None
    """What keeps it from making progress."""
    steps: int = 0
    failures: int = 0
    """Steps in a row that failed."""


class Worker:
    """Runs a step in a thread of its own.

    An error of the infrastructure is retried for ever, with growing pauses. Any other error stops
    the worker, which then says so: nothing is ever skipped.
    """

    def __init__(
        self,
        name: str,
        step: Step,
        *,
        on_change: Callable[[State], None] | None = None,
        wake: threading.Event | None = None,
        retry_s_max: float = RETRY_S_MAX,
    ) -> None:
        self._step = step
        self._on_change = on_change
        self._wake = wake or threading.Event()
        self._retry_s_max = retry_s_max
        self._stopping = threading.Event()
        self._state = State(name)
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)

    @property
    def state(self) -> State:
        """As of now."""
        return self._state

    def start(self) -> None:
        """Begin. A worker is started once."""
        self._thread.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End after the running step; whether it has ended in time. Stopping twice is allowed."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._become("running", None)
        while not self._stopping.is_set():
            rest_s = self._try_step()
            if rest_s is None:
                return
            if rest_s > 0:
                self._wake.wait(rest_s)
            self._wake.clear()
        self._become("stopped", None)

    def _try_step(self) -> float | None:
        """Seconds to rest, or None when the worker cannot go on."""
        try:
            rest_s = self._step()
        except INFRASTRUCTURE as error:
            failures = self._state.failures + 1
            self._become("retrying", f"{type(error).__name__}: {error}", failures=failures)
            return min(self._retry_s_max, RETRY_S_FIRST * 2.0 ** min(failures - 1, 10))
        except Exception as error:
            # The last line of defence of a thread: whatever it is, somebody must see it.
            self._become("failed", f"{type(error).__name__}: {error}", failures=1)
            return None
        self._state = replace(self._state, steps=self._state.steps + 1)
        if self._state.status != "running":
            self._become("running", None)
        return rest_s

    def _become(self, status: Status, error: str | None, *, failures: int = 0) -> None:
        before = self._state
        self._state = replace(before, status=status, error=error, failures=failures)
        changed = (before.status, before.error) != (status, error)
        if changed and self._on_change is not None:
            self._on_change(self._state)
