"""One real Postgres from the system's binaries, with a cluster of its own.

Durable as in production unless told otherwise; passwords as in production (SCRAM), TCP only.
"""

from __future__ import annotations

import functools
import os
import pwd
import re
import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from tests.services.server import Server, ServiceMissing, run

ROLE: Final = "keytoll"
CONNECTIONS_MAX: Final = 200


class Postgres(Server):
    """POSTGRES_DSN is `dsn`: a role that may create databases."""

    name = "postgres"
    end_signal = signal.SIGINT
    """A fast shutdown: open transactions are rolled back. SIGTERM would wait for clients."""
    abandon_signal = signal.SIGQUIT
    """Without a checkpoint, but the shared memory is given back."""

    def __init__(self, *, durable: bool = True, password: str | None = None) -> None:
        super().__init__()
        self.user = _user()
        self._data = self.folder / "data"
        self._durable = durable
        self._password = password or secrets.token_urlsafe(12)

    @property
    def dsn(self) -> str:
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """The DSN of another database of this server."""
        return f"postgresql://{ROLE}:{self._password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        if self._data.exists():
            return
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        for path in (self.folder, password_file):
            if self.user is not None:
                shutil.chown(path, self.user)
        words = [
            str(_binaries() / "initdb"),
            f"--pgdata={self._data}",
            f"--username={ROLE}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        run(words, cwd=self.folder, user=self.user)
        password_file.unlink()

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(CONNECTIONS_MAX),
            "shared_buffers": "64MB",
            "fsync": "on" if self._durable else "off",
            "timezone": "UTC",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(_binaries() / "postgres"), "-D", str(self._data), *options]

    def is_ready(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@functools.cache
def _binaries() -> Path:
    """The folder of the newest server on this machine. Raises ServiceMissing."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or "0"),
    )
    if debian:
        return debian[-1].parent
    found = shutil.which("postgres")
    if found is None or not Path(found).resolve().with_name("initdb").exists():
        raise ServiceMissing("Postgres is not installed: no 'postgres' and 'initdb' were found")
    return Path(found).resolve().parent


def _user() -> str | None:
    """Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
