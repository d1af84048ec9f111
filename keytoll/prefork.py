"""`keytoll serve --workers N`: one listening socket, N processes that serve on it.

The parent serves nothing. It holds the socket, starts the children, starts anew what dies, and
passes a signal to end on. A child is a fresh program, not a fork: no library carries threads,
locks or connections over. Should the parent die, its children notice and end in order.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from domain.clock import Clock

RESTART_S_FIRST: Final = 0.5
RESTART_S_MAX: Final = 30.0
HEALTHY_S: Final = 60.0
"""After a child that lived for so long the pauses begin anew."""
SETTLE_S: Final = 30.0
"""What children get beyond the time that running calls are given, before they are killed."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("keytoll.prefork")


@dataclass
class _Child:
    """A place for a process, and the process that fills it."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    due_s: float = 0.0
    """When it may be started, by the monotonic clock."""
    delay_s: float = field(default=RESTART_S_FIRST)


class Prefork:
    """The parent. Make it in the main thread: it listens to signals."""

    def __init__(
        self, listener: socket.socket, *, count: int, clock: Clock, stop_timeout_s: float
    ) -> None:
        self._listener = listener
        self._clock = clock
        self._stop_timeout_s = stop_timeout_s
        self._children = [_Child(number) for number in range(count)]
        self._signalled: int | None = None

    def run(self) -> None:
        """Keep the children running until SIGTERM or SIGINT; return once all have ended."""
        # Children read the one end; it closes with the parent, who alone has the other.
        life, held = os.pipe()
        waiting, waking = socket.socketpair()
        waking.setblocking(False)
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        try:
            while self._signalled is None:
                self._wait(waiting, self._look(life))
            self._end(waiting)
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for descriptor in (life, held):
                os.close(descriptor)
            waiting.close()
            waking.close()

    def _note(self, number: int, _frame: object) -> None:
        self._signalled = number

    def _look(self, life: int) -> float:
        """Start what is due; the seconds until the next one is."""
        now_s = self._clock.monotonic_s()
        for child in self._children:
            if child.process is not None and (code := child.process.poll()) is not None:
                self._bury(child, code, now_s)
            if child.process is None and child.due_s <= now_s:
                child.process = self._start(child, life)
                child.started_s = now_s
        due = [child.due_s for child in self._children if child.process is None]
        return max(0.0, min(due) - now_s) if due else RESTART_S_MAX

    def _start(self, child: _Child, life: int) -> subprocess.Popen[bytes]:
        listener = self._listener.fileno()
        words = child_words(number=child.number, listener=listener, life=life)
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "keytoll", *words], pass_fds=(listener, life)
        )
        _log.info("child_started", number=child.number, pid=process.pid)
        return process

    def _bury(self, child: _Child, code: int, now_s: float) -> None:
        if now_s - child.started_s >= HEALTHY_S:
            child.delay_s = RESTART_S_FIRST
        child.process, child.due_s = None, now_s + child.delay_s
        _log.error("child_died", number=child.number, code=code, restart_in_s=child.delay_s)
        child.delay_s = min(2 * child.delay_s, RESTART_S_MAX)

    def _end(self, waiting: socket.socket) -> None:
        _log.info("stopping", children=len(self._running()))
        for process in self._running():
            process.send_signal(signal.SIGTERM)
        until_s = self._clock.monotonic_s() + self._stop_timeout_s + SETTLE_S
        while self._running() and (left_s := until_s - self._clock.monotonic_s()) > 0:
            self._wait(waiting, left_s)
        for process in self._running():
            _log.error("child_killed", pid=process.pid)
            process.kill()
            process.wait()

    def _running(self) -> list[subprocess.Popen[bytes]]:
        processes = (child.process for child in self._children)
        return [each for each in processes if each is not None and each.poll() is None]

    @staticmethod
    def _wait(waiting: socket.socket, timeout_s: float) -> None:
        """Until a signal has come, or the time is over."""
        if select.select([waiting], [], [], timeout_s)[0]:
            waiting.recv(4096)


def child_words(*, number: int, listener: int, life: int) -> Sequence[str]:
    """The command line of a child: its number, and the descriptors that it inherits."""
    return ["serve", "--child", f"{number}:{listener}:{life}"]


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a child was given by its parent."""

    number: int
    listener: socket.socket
    life: int
    """Readable once the parent is gone."""

    @classmethod
    def of(cls, word: str) -> Inherited:
        """Read `--child`."""
        number, listener, life = (int(part) for part in word.split(":"))
        return cls(number, socket.socket(fileno=listener), life)
