"""keytoll with a death built in: `python -m tests.e2e.killable serve` dies at a named point.

The environment names the point (E2E_KILL_POINT), which passage of it is the last
(E2E_KILL_PASSAGE) and for how long the process still lives (E2E_KILL_DELAY_US). The product knows
nothing of this: its functions are wrapped here, from outside.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, Literal

from api.chat.exchange import Exchange
from api.chat.reply import Reply
from api.chat.settle import Settlement
from api.providers.http import Answer, Upstream
from domain.eventlog.sqlite import SQLiteStore
from keytoll.__main__ import main
from keytoll.price_list import PriceList
from projections.projector import Projector
from projections.store import clickhouse
from workers import rerate

When = Literal["before", "after"]
POINTS: Final[dict[str, tuple[type, str, When]]] = {
    "before-upstream": (Upstream, "send", "before"),
    "byte-arrived": (Answer, "__anext__", "after"),
    "before-terminal-event": (Settlement, "store", "before"),
    "during-commit": (SQLiteStore, "write", "before"),
    "after-commit": (SQLiteStore, "write", "after"),
    "terminal-event-stored": (Settlement, "store", "after"),
    "before-close": (Reply, "_body", "before"),
    "during-insert": (clickhouse._Store, "insert", "before"),
    "batch-projected": (Projector, "_project", "after"),
}

FALLBACK_POINTS: Final[dict[str, tuple[type, str, When]]] = {
    "between-attempts": (Exchange, "_following", "before"),
    "next-attempt-recorded": (Exchange, "_following", "after"),
}
LATE_POINTS: Final[dict[str, tuple[type | ModuleType, str, When]]] = {
    "book-recorded": (PriceList, "_record", "after"),
    "deciding": (rerate, "decide", "after"),
    "re-rated": (rerate.Rerater, "_rerate", "after"),
}
"""Between a price that is added and the calls that it rates."""
"""Passed by only where a call has a second attempt."""


class Death:
    """Counts passages and dies at the given one, at once or a little later."""

    def __init__(self, passage: int, delay_us: int) -> None:
        self._left = passage
        self._delay_s = delay_us / 1e6
        self._lock = threading.Lock()

    def pass_by(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            if self._delay_s:
                threading.Thread(target=self._die, daemon=True).start()
            else:
                self._die()

    def _die(self) -> None:
        deadline = time.perf_counter() + self._delay_s
        while time.perf_counter() < deadline:
            pass
        os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner: type | ModuleType, name: str, when: When, death: Death) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    async def waited(*args: Any, **named: Any) -> Any:
        if when == "before":
            death.pass_by()
        result = await inner(*args, **named)
        if when == "after":
            death.pass_by()
        return result

    @functools.wraps(inner)
    def called(*args: Any, **named: Any) -> Any:
        if when == "before":
            death.pass_by()
        result = inner(*args, **named)
        if when == "after":
            death.pass_by()
        return result

    setattr(owner, name, waited if inspect.iscoroutinefunction(inner) else called)


if __name__ == "__main__":
    point = os.environ.pop("E2E_KILL_POINT", "")
    if point:
        _wrap(
            *{**POINTS, **FALLBACK_POINTS, **LATE_POINTS}[point],
            Death(
                int(os.environ.pop("E2E_KILL_PASSAGE")), int(os.environ.pop("E2E_KILL_DELAY_US"))
            ),
        )
    sys.exit(main())
