"""The ClickHouse engine as a server: `clickhouse_over_http.py` as a process."""

from __future__ import annotations

import base64
import secrets
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from tests.services.server import REPOSITORY, Server

USER: Final = "keytoll"


class ClickHouse(Server):
    """CLICKHOUSE_DSN is `dsn`."""

    name = "clickhouse"

    def __init__(self, *, password: str | None = None) -> None:
        super().__init__()
        self._password = password or secrets.token_urlsafe(12)

    @property
    def dsn(self) -> str:
        return self.dsn_of("default")

    def dsn_of(self, database: str) -> str:
        """The DSN of another database of this server; it need not exist."""
        return f"clickhouse://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> Sequence[str]:
        module = "tests.services.clickhouse_over_http"
        return [sys.executable, "-m", module, str(self.port), str(self.folder / "data")]

    def environment(self) -> Mapping[str, str]:
        return {
            **super().environment(),
            "PYTHONPATH": str(REPOSITORY),
            "CLICKHOUSE_USER": USER,
            "CLICKHOUSE_PASSWORD": self._password,
        }

    def is_ready(self) -> bool:
        try:
            return execute(self.dsn, "SELECT 1") == "1\n"
        except OSError:
            return False


def execute(dsn: str, statement: str, *, timeout_s: float = 60.0) -> str:
    """A statement's answer, tab separated, of any ClickHouse server. Raises OSError."""
    parts = urlsplit(dsn)
    login = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}/",
        data=statement.encode(),
        headers={"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        text: str = answer.read().decode()
    return text
