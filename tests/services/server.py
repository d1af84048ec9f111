"""One server of a test: a process with a port and a folder that survive its deaths.

It is started, stopped, killed, held and let go by its process id; when the process that started it
ends, however it ends, a watchdog ends the server and removes its folder.
"""

from __future__ import annotations

import atexit
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import psutil

REPOSITORY: Final = Path(__file__).parents[2]
KILL_S: Final = 30.0
PORTS: Final = range(20000, 32000)
"""Below the ports that systems give to outgoing connections (32768 and up): nobody else gets a
server's port while it is down."""

_TELLING: Final = threading.Lock()


class ServiceMissing(Exception):
    """Something that a service needs is not installed; says what, and how to get it."""


class DidNotStart(Exception):
    """The server ended or stayed silent; holds the end of its log."""


class Server(ABC):
    """A server on 127.0.0.1. `start` may be called again after `stop` or `kill`."""

    name: str
    end_signal: ClassVar[signal.Signals] = signal.SIGTERM
    """Asks for an orderly end."""
    abandon_signal: ClassVar[signal.Signals] = signal.SIGKILL
    """What the watchdog sends."""
    start_s: float = 60.0
    """How long a start may take."""
    stop_s: float = 30.0
    """How long an orderly end may take."""
    user: str | None = None
    """The system's user that the process runs as; None: this one."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = _new_folder(self.name)
        self.log_file = self.folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The words that start the server."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what the first start needs. Called before every start."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server does its work."""

    def environment(self) -> Mapping[str, str]:
        """What the process sees."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "TZ": "UTC", "LC_ALL": "C"}

    def start(self) -> None:
        """Start and return once it does its work. Raises ServiceMissing or DidNotStart."""
        assert not self.running(), f"{self.name} runs already"
        self.prepare()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.command()),
                cwd=self.folder,
                env=dict(self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
            )
        _watchdog_hears(f"watch {self._process.pid} {int(self.abandon_signal)}")
        deadline = time.monotonic() + self.start_s
        while not self.is_ready():
            if not self.running() or time.monotonic() > deadline:
                self.kill()
                raise DidNotStart(f"{self.name} did not start; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Of the process that ended last; minus a signal's number if that ended it."""
        return None if self._process is None else self._process.poll()

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask for an orderly end and wait for it; afterwards kill."""
        if self.running():
            os.kill(self.pid, self.end_signal)
            assert self._process is not None
            try:
                self._process.wait(self.stop_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._ended()

    def kill(self) -> None:
        """SIGKILL to the process and its children, and wait until they are gone."""
        if self.running():
            family = self.family()
            for process in family:
                _send(process, signal.SIGKILL)
            assert self._process is not None
            self._process.wait(KILL_S)
            psutil.wait_procs(family, timeout=KILL_S)
        self._ended()

    def hold(self) -> None:
        """SIGSTOP: connections stay open, nobody answers."""
        for process in self.family():
            _send(process, signal.SIGSTOP)

    def let_go(self) -> None:
        """SIGCONT."""
        for process in self.family():
            _send(process, signal.SIGCONT)

    def remove(self) -> None:
        """Kill, and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def lose(self) -> None:
        """Kill, and remove what it kept: the next start is the first one, on the same port."""
        self.kill()
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.log_file:
                path.unlink()

    def log_tail(self, lines: int = 40) -> str:
        """The end of what the server logged."""
        if not self.log_file.exists():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def family(self) -> list[psutil.Process]:
        """The process and its children; empty when it has ended."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _ended(self) -> None:
        if self._process is not None:
            _watchdog_hears(f"forget {self._process.pid}")


def free_port(*, also: int = 0) -> int:
    """A port of 127.0.0.1 on which nobody listens, nor on the next ones that are `also` needed."""
    while True:
        port = random.choice(PORTS)
        if all(_is_free(port + n) for n in range(also + 1)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(words: Sequence[str], *, cwd: Path, user: str | None = None) -> None:
    """A command that must end well. Raises DidNotStart with what it said."""
    done = subprocess.run(
        list(words),
        cwd=cwd,
        user=user,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DidNotStart(f"{' '.join(words)}: code {done.returncode}\n{done.stdout}")


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _new_folder(name: str) -> Path:
    # Not below pytest's own folder: that one is closed to the user that Postgres runs as.
    folder = Path(tempfile.mkdtemp(prefix=f"keytoll-{name}-"))
    _watchdog_hears(f"folder {folder}")
    return folder


@functools.cache
def _watchdog() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(_dismiss, process)
    return process


def _dismiss(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def _watchdog_hears(line: str) -> None:
    with _TELLING:
        stdin = _watchdog().stdin
        assert stdin is not None
        stdin.write(f"{line}\n")
        stdin.flush()
