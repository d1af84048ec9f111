"""Work that one process at a time does, among all that could."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from domain.coordination.port import Held, Locks
from workers.loop import Step

LOOK_S: Final = 1.0
"""Rest between two looks whether the process that does it has ended."""


class Exclusive:
    """A step that is done only under a lock; while another process has it, this one stands by."""

    def __init__(
        self,
        locks: Locks,
        name: str,
        step: Step,
        *,
        look_s: float = LOOK_S,
        on_taken: Callable[[], None] | None = None,
    ) -> None:
        """`on_taken` is called when the lock was taken, before the first step under it."""
        self._locks = locks
        self._name = name
        self._step = step
        self._look_s = look_s
        self._on_taken = on_taken
        self._held: Held | None = None

    def __call__(self) -> float:
        if self._held is not None and not self._held.still():
            self.release()
        if self._held is None:
            held = self._locks.take(self._name)
            if held is None:
                return self._look_s
            self._held = held
            if self._on_taken is not None:
                self._on_taken()
        return self._step()

    def release(self) -> None:
        """Let another process do it. Call it from the worker's own thread, or after its end."""
        held, self._held = self._held, None
        if held is not None:
            held.release()
