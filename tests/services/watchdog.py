"""Ends what its parent leaves behind: a process of its own that outlives a killed test run.

Reads lines from its standard input, which ends with the process that holds the other end, however
that came to its end. `watch PID SIGNAL`: end this process then; `forget PID`: it has ended;
`folder PATH`: remove it then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping

PATIENCE_S = 8.0
"""From the gentle signal to SIGKILL; Postgres kills its children 5 s after it was told to end."""


def main() -> None:
    """Listen until the parent is gone, then clear up."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    processes: dict[int, int] = {}
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "watch":
            pid, _, number = rest.partition(" ")
            processes[int(pid)] = int(number)
        elif word == "forget":
            processes.pop(int(rest), None)
        elif word == "folder":
            folders.append(rest)
    _end(processes)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(processes: Mapping[int, int]) -> None:
    for pid, number in processes.items():
        _signal([pid], signal.SIGCONT)
        _signal([pid], number)
    deadline = time.monotonic() + PATIENCE_S
    while any(_lives(pid) for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(processes, signal.SIGKILL)


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
