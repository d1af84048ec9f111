"""`keytoll drift` behind a page: it reads everything, so it runs beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock, Thread
from typing import Final

from api.errors import api_error
from domain.clock import Clock, instant_text

SHOWN_MAX: Final = 50

Check = Callable[[], tuple[int, Sequence[str]]]
"""Compares; (how many events of the log, what differs in a sentence each). Raises DomainError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One comparison. While it runs, `ended_at` is None."""

    started_at: str
    ended_at: str | None = None
    events: int = 0
    """Of the log, that were compared."""
    found: int = 0
    """How many differences; the first of them are kept."""
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
            events, found = self._check()
            shown = tuple(found[:SHOWN_MAX])
            done = replace(begun, events=events, found=len(found), differences=shown)
        except Exception as error:
            # The last line of defence of a thread: whatever it is, the page must say so.
            done = replace(begun, problem=api_error(error).message)
        self._last = replace(done, ended_at=instant_text(self._clock.now()))
