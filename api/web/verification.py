"""`keytoll verify` behind a page: it reads the whole log, so it runs beside and tells how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock, Thread

from api.errors import api_error
from domain.clock import Clock, instant_text
from domain.eventlog.verify import Report

Verify = Callable[[Callable[[int], None]], Report]
"""Verifies, and tells its argument now and then how many lines were checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One verification. While it runs, `ended_at` is None."""

    started_at: str
    ended_at: str | None = None
    checked: int = 0
    """Lines so far."""
    report: Report | None = None
    problem: str | None = None
    """Why it came to no end."""


class Verification:
    """One at a time; the last one is remembered until the process ends."""

    def __init__(self, verify: Verify, clock: Clock) -> None:
        self._verify = verify
        self._clock = clock
        self._lock = Lock()
        self._last: Run | None = None

    @property
    def last(self) -> Run | None:
        """The newest, which may be running; None: none since the start of the process."""
        return self._last

    def start(self) -> bool:
        """Begin, unless one is running; whether it began."""
        with self._lock:
            if self._last is not None and self._last.ended_at is None:
                return False
            self._last = Run(started_at=instant_text(self._clock.now()))
            Thread(target=self._run, args=(self._last,), name="verify", daemon=True).start()
            return True

    def _run(self, begun: Run) -> None:
        def on_page(checked: int) -> None:
            self._last = replace(begun, checked=checked)

        try:
            report = self._verify(on_page)
            done = replace(begun, report=report, checked=report.events)
        except Exception as error:
            # The last line of defence of a thread: whatever it is, the page must say so.
            done = replace(begun, problem=api_error(error).message)
        self._last = replace(done, ended_at=instant_text(self._clock.now()))
