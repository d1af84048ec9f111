"""The embedded topology: one process, one folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from tests.torture.books import Books, EmbeddedQuery, read_sqlite, read_tables
from tests.torture.callers import Door
from tests.torture.disk import Disk
from tests.torture.killable import CALLING, CLOSING, PROJECTING, SQLITE, arming
from tests.torture.processes import Death, Process
from tests.torture.provider import TorturedProvider
from tests.torture.site import environment, free_port, run_command, wait_ready
from tests.torture.wire import Wire

POINTS: Final = {**CALLING, **SQLITE, **PROJECTING, **CLOSING}


class Embedded:
    """`keytoll serve` on a folder of its own."""

    def __init__(
        self,
        folder: Path,
        upstream: TorturedProvider,
        *,
        seed: int,
        fault: str = "",
        disk: Disk | None = None,
    ) -> None:
        self.folder = folder
        self.wires: Sequence[Wire] = ()
        self._disk = disk
        if disk is not None:
            (folder / "data").mkdir()
            disk.mount(folder / "data")
        self._dice = Random(f"points of {seed}")
        port = free_port()
        self._door = Door("server", f"http://127.0.0.1:{port}")
        self._environment = environment(
            KEYTOLL_DATA=str(folder / "data"),
            KEYTOLL_LISTEN=f"127.0.0.1:{port}",
            KEYTOLL_LOG_FORMAT="json",
            KEYTOLL_SANDBOX="off",
            KEYTOLL_SHUTDOWN_TIMEOUT_S="1",
            KEYTOLL_SEAL_INTERVAL_S="600",
            KEYTOLL_UPSTREAMS=json.dumps(upstream.base_urls()),
        )
        self._server = Process(
            "server",
            [sys.executable, "-m", "tests.torture.killable", "serve"],
            folder=folder,
            environment={**self._environment, **({"TORTURE_FAULT": fault} if fault else {})},
            yields="already in use by process",
            arm=lambda: arming(POINTS, self._dice, chance=0.6),
        )
        self.processes: Sequence[Process] = (self._server,)
        self.tormented = False
        self.deaths: list[Death] = []

    @property
    def doors(self) -> Sequence[Door]:
        return (self._door,)

    @property
    def injuries(self) -> Sequence[str]:
        return ()

    def injure(self, kind: str, amount: float) -> str | None:
        raise ValueError(kind)

    def prepare(self) -> None:
        """Nothing but a folder is needed."""

    def open(self) -> None:
        self._server.start()
        wait_ready(self._door)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_command(words, folder=self.folder, environment=self._environment)

    def level(self) -> str | None:
        self._server.watch(restart=True)
        wait_ready(self._door)
        done = self.command("status", "--json")
        if done.returncode:
            return done.stderr
        found = json.loads(done.stdout)
        late = {name: found[name] for name in ("open_requests", "lag") if found.get(name)}
        return str(late) if late else None

    def hush(self) -> None:
        """The one process is stopped when its books are read."""

    def books(self) -> Books:
        self._server.stop()
        entries, events = read_sqlite(self.folder / "data" / "events.sqlite")
        query = EmbeddedQuery(self.folder / "data" / "projections")
        tables, fees, dead, conflicts = read_tables(query)
        return Books(entries, events, tables, None, fees, dead, conflicts)

    def close(self) -> None:
        self._server.kill()
        if self._disk is not None:
            self._disk.unmount()
