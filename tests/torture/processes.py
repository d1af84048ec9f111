"""Real processes that are killed, stopped and started again, and what became of each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from tests.services.server import _watchdog_hears

Cause = Literal["kill", "point", "stop", "yield", "own"]
"""Killed by us, killed at a named point in its own code, asked to stop, ended at its start because
what it needs was taken or away, or ended by itself."""
RESTART_S: Final = 0.3
TERM_S: Final = 30.0


@dataclass
class Death:
    """One end of one process."""

    process: str
    at: float
    cause: Cause
    detail: str = ""


@dataclass
class Stop:
    """A time during which a process stood still."""

    process: str
    start: float
    end: float


Arming = Callable[[], Mapping[str, str]]
"""What is added to the environment of the next start: the point at which it will die."""


class Process:
    """One program of the system under test; its children die with it.

    `watch` is called often: it restarts what has died, and writes down how it died.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        arm: Arming = dict,
        role: str | None = None,
        foreign: bool = False,
        yields: str = "",
        user: str | None = None,
    ) -> None:
        self.name = name
        self.role = role or name
        """What it is: two proxies have one role."""
        self.command = list(command)
        self.folder = folder
        self.environment = dict(environment)
        self.log_file = folder / f"{name}.log"
        self.deaths: list[Death] = []
        self.stops: list[Stop] = []
        self.starts = 0
        self.foreign = foreign
        """Somebody else's program: broker, database. It is killed rather than asked to stop."""
        self._yields = yields
        """It may end by itself, with code 2, where its last words match: it found its place taken,
        or a service away at its start."""
        self._user = user
        self._arm = arm
        self._armed: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._expected: Cause | None = None
        self._down_until = 0.0
        self._lock = threading.RLock()
        self._stopped_at: float | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def standing_still(self) -> bool:
        return self._stopped_at is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, armed: bool = False) -> None:
        """Start it; with `armed` it may die at a named point."""
        with self._lock:
            if self.running:
                return
            self._expected = None
            self._armed = self._arm() if armed else {}
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    self.command,
                    cwd=self.folder,
                    env={**self.environment, **self._armed},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=self._user,
                )
            # However this harness ends, its processes end with it.
            _watchdog_hears(f"watch {self.pid} {int(signal.SIGKILL)}")
            self.starts += 1

    def kill(self, *, down_s: float = RESTART_S) -> bool:
        """kill -9, with its children. False: it was dead already."""
        return self._end("kill", signal.SIGKILL, down_s)

    def stop(self, *, down_s: float = 0.0) -> bool:
        """SIGTERM, and wait for an orderly end. False: it was dead already."""
        if not self._end("stop", signal.SIGTERM, down_s):
            return False
        assert self._process is not None
        try:
            self._process.wait(TERM_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._note("own", "did not stop when asked to")
            return True
        self.reap()
        return True

    def pause(self) -> bool:
        """SIGSTOP: it lives, and knows nothing of the time that passes."""
        with self._lock:
            if not self.running or self._stopped_at is not None:
                return False
            self._stopped_at = time.time()
            self._signal(signal.SIGSTOP)
            return True

    def resume(self) -> None:
        """SIGCONT."""
        with self._lock:
            if self._stopped_at is not None:
                self.stops.append(Stop(self.name, self._stopped_at, time.time()))
                self._stopped_at = None
                self._signal(signal.SIGCONT)

    def watch(self, *, restart: bool, armed: bool = False) -> None:
        """Write down a death; start again when its time has come, perhaps with a death built in."""
        with self._lock:
            self.reap()
            if restart and not self.running and time.time() >= self._down_until:
                self.start(armed=armed)

    def disarm(self) -> None:
        """It runs, and has no death built in any more."""
        with self._lock:
            if self._armed:
                self.kill()
            self.watch(restart=False)
            self.start()

    def reap(self) -> None:
        with self._lock:
            process = self._process
            if process is None or process.poll() is None:
                return
            self._process = None
            code = process.returncode
            _watchdog_hears(f"forget {process.pid}")
            at_point = code == -signal.SIGKILL and "TORTURE_POINT" in self._armed
            if at_point and self._expected != "kill":  # perhaps while it was stopping
                self._note("point", self._armed["TORTURE_POINT"])
                if self._expected == "stop":
                    self._note("stop")  # and so it had begun to cut its calls short
            elif self._expected is not None:
                if self._expected == "stop" and code not in {0, -signal.SIGTERM}:
                    self._note("own", f"ended with {code} when asked to stop")
                else:
                    self._note(self._expected)
            elif code == 2 and self._yields and re.search(self._yields, self._last_words()):
                self._note("yield", self._last_words())
            else:
                self._note("own", f"ended with {code}: {self.log_text()[-600:]}")

    def log_text(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _last_words(self) -> str:
        """What it told people at its end; its other lines are JSON."""
        said = [each for each in self.log_text()[-4000:].splitlines() if each[:1] != "{"]
        return " ".join(each.strip() for each in said[-4:])

    def _end(self, cause: Cause, how: signal.Signals, down_s: float) -> bool:
        with self._lock:
            self.resume()
            if not self.running:
                return False
            self._expected = cause
            self._down_until = time.time() + down_s
            self._signal(how)
            if how is signal.SIGKILL:
                assert self._process is not None
                self._process.wait()
                self.reap()
            return True

    def _signal(self, how: signal.Signals) -> None:
        # SIGTERM is for the program itself: it tells its own children.
        family = [] if how is signal.SIGTERM else self._children()
        with suppress(ProcessLookupError):
            os.kill(self.pid, how)
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(how)

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _note(self, cause: Cause, detail: str = "") -> None:
        self.deaths.append(Death(self.name, time.time(), cause, detail))
