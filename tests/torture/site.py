"""What a topology gives to the harness: processes to torment, doors to call at, books to check."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import httpx

from tests.e2e.plan import Json
from tests.torture.books import Books
from tests.torture.callers import Door
from tests.torture.processes import Death, Process
from tests.torture.wire import Wire

REPOSITORY: Final = Path(__file__).parents[2]
MARKUPS: Final = ("0.05", "0.0725", "0.031337")
"""The rate of each account."""
KEYS: Final[Mapping[str, str]] = {
    "openai": "sk-proj-tortureOpenAi0001",
    "anthropic": "sk-ant-api03-tortureAnthropic0001",
    "groq": "gsk_tortureGroq0001",
    "openrouter": "sk-or-v1-tortureOpenRouter0001",
}
COMMAND_S: Final = 120.0
READY_S: Final = 60.0


class Site(Protocol):
    """The system under test, in one topology."""

    processes: Sequence[Process]
    wires: Sequence[Wire]
    tormented: bool
    """Commands may be killed too."""
    deaths: list[Death]
    """Of commands that the harness ran."""

    def prepare(self) -> None:
        """Start what `keytoll init` needs."""

    def open(self) -> None:
        """Start everything and wait until calls are taken."""

    @property
    def doors(self) -> Sequence[Door]:
        """Where callers may call."""

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the program, in a process of its own."""

    def injure(self, kind: str, amount: float) -> str | None:
        """Do something that only this topology knows (offsets set back, records sent twice).

        Gives what was done, or None if it is not possible just now.
        """

    @property
    def injuries(self) -> Sequence[str]:
        """What `injure` knows."""

    def level(self) -> str | None:
        """What keeps the books from being level and every call from being ended; None: nothing."""

    def hush(self) -> None:
        """End what records something by itself."""

    def books(self) -> Books:
        """Everything that was recorded, read past the program. Called when all is still."""

    def close(self) -> None:
        """End everything."""


@dataclass
class Tenants:
    """Accounts, their keys, and one operator."""

    accounts: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)

    @classmethod
    def settle_in(cls, site: Site) -> Tenants:
        """The first account, on an installation that does not run yet."""
        shown = run(site, "init", "--json")
        return cls([shown["account_id"]], [shown["api_keys"]["owner"]], shown["api_keys"])

    def add_accounts(self, site: Site) -> None:
        """The other accounts; everybody's rate and provider keys. Needs a running server."""
        for _ in MARKUPS[1:]:
            opened = run(site, "account", "open", "--json")
            self.accounts.append(opened["account_id"])
            self.keys.append(opened["api_keys"]["owner"])
        for account, rate in zip(self.accounts, MARKUPS, strict=True):
            run(site, "account", "markup", "--account", account, "--rate", rate, "--json")
        time.sleep(2.5)  # every proxy knows of it
        with httpx.Client(base_url=site.doors[0].url, timeout=30, verify=False) as client:
            for key in self.keys:
                for provider, secret in KEYS.items():
                    sent = {"provider": provider, "key": secret, "validate": False}
                    headers = {"authorization": f"Bearer {key}"}
                    answer = client.post("/api/user/provider-keys", json=sent, headers=headers)
                    assert answer.status_code == 201, answer.text
        time.sleep(2.5)


def run(site: Site, *words: str) -> Json:
    """A command that must succeed and answers JSON."""
    done = site.command(*words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    found: Json = json.loads(done.stdout)
    return found


def run_command(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    module: str = "keytoll",
) -> subprocess.CompletedProcess[str]:
    """`keytoll …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def environment(**settings: str) -> dict[str, str]:
    """What a program of ours is given, and nothing else."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **settings}


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_ready(door: Door) -> None:
    """Until calls are taken."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            if httpx.get(f"{door.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{door.name} does not become ready"
        time.sleep(0.1)
