"""The comparison of the tables with the log, run behind a page because it reads everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock, Thread
from typing import Final

from api.errors import api_error
from domain.clock import Clock, instant_text

SHOWN_MAX: Final = 50

Check = Callable[[], tuple[int, Sequence[str]]]
"""Compares; (the seq up to which it did, what differs in a sentence each). Raises DomainError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One comparison. While it runs, `ended_at` is None."""

    started_at: str
    ended_at: str | None = None
    until: int = 0
    differences: Sequence[str] = ()
    problem: str | None = None
    """Why it came to no end."""


class DriftCheck:
    """One at a time; the last one is remembered until the process ends."""

    def __init__(self, check: Check, clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._lock = Lock()
        self._last: Drift | None = None

    @property
    def last(self) -> Drift | None:
        """The newest, which may be running; None: none since the start of the process."""
        return self._last

    def start(self) -> None:
        """Begin, unless one is running."""
        with self._lock:
            if self._last is not None and self._last.ended_at is None:
                return
            self._last = Drift(started_at=instant_text(self._clock.now()))
            Thread(target=self._run, args=(self._last,), name="drift", daemon=True).start()

    def _run(self, begun: Drift) -> None:
        try:
            until, found = self._check()
            done = replace(begun, until=until, differences=tuple(found[:SHOWN_MAX]))
        except Exception as error:
            # The last line of defence of a thread: whatever it is, the page must say so.
            done = replace(begun, problem=api_error(error).message)
        self._last = replace(done, ended_at=instant_text(self._clock.now()))
