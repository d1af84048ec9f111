"""keytoll as several processes over other people's services: started, watched, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from tests.e2e.program import REPOSITORY

Json = dict[str, Any]
START_S: Final = 90.0
STOP_S: Final = 60.0
_ADDRESS: Final = re.compile(r"http://[0-9.:]+")
MASTER_KEY: Final = "a2V5dG9sbCdzIHNjYWxlZCB0ZXN0cywgMzIgYnl0ZXM="

T = TypeVar("T")


class Process:
    """One running command."""

    def __init__(self, name: str, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
        folder = Path(environment["KEYTOLL_DATA"]).parent
        self.name = name
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keytoll", *words],
                cwd=folder,
                env=dict(environment),
                stdout=out,
                stderr=err,
            )

    def said(self) -> str:
        """Everything that it wrote."""
        return self._out.read_text() + self._err.read_text()

    def address(self) -> str:
        """Where it serves, once it does."""

        def found() -> str | None:
            assert self.process.poll() is None, self.said()
            match = _ADDRESS.search(self._out.read_text())
            return match and match.group()

        address = eventually(found, self.said)
        eventually(lambda: answers(f"{address}/readyz"), self.said)
        return address

    def end(self) -> None:
        """SIGTERM, and an orderly end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_S)
        assert code == 0, f"{self.name}: {code}\n{self.said()}"


class Installation:
    """What processes share; each has a folder and a free port of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._settings = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "KEYTOLL_MASTER_KEY": MASTER_KEY,
            "KEYTOLL_LISTEN": "127.0.0.1:0",
            "KEYTOLL_SANDBOX": "on",
            "KEYTOLL_LOG_FORMAT": "json",
            "KEYTOLL_LEASE_S": "3",
            **settings,
        }
        self._processes: list[Process] = []
        self.account_id = ""
        self.api_keys: dict[str, str] = {}

    def environment(self, name: str = "commands", **more: str) -> dict[str, str]:
        """Of the process of that name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return {**self._settings, "KEYTOLL_DATA": str(folder / "data"), **more}

    def start(self, name: str, *words: str, **more: str) -> Process:
        """A process in a folder of its own."""
        process = Process(name, words, self.environment(name, **more))
        self._processes.append(process)
        return process

    def end(self) -> None:
        """All of it, in order; whatever does not end is killed."""
        try:
            for process in self._processes:
                process.end()
        finally:
            for process in self._processes:
                if process.process.poll() is None:
                    process.process.kill()
                    process.process.wait()

    def init(self, name: str = "commands") -> None:
        """`keytoll init`."""
        shown = self.asked("init", name=name)
        self.account_id, self.api_keys = shown["account_id"], shown["api_keys"]

    def ran(self, *words: str, code: int = 0, name: str = "commands") -> str:
        """A command; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "keytoll", *words],
            cwd=self.folder,
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def asked(self, *words: str, code: int = 0, name: str = "commands") -> Any:
        """A command's answer."""
        return json.loads(self.ran(*words, "--json", code=code, name=name))

    def client(self, address: str, role: str = "owner") -> httpx.Client:
        """Somebody with an API key of that role."""
        headers = {"authorization": f"Bearer {self.api_keys[role]}"}
        return httpx.Client(base_url=address, headers=headers, timeout=60, verify=False)

    def store_key(self, address: str) -> str:
        """A key for the sandbox; its credential id."""
        with self.client(address) as client:
            sent = {"provider": "sandbox", "key": "play-money-0001", "validate": False}
            answer = client.post("/api/user/provider-keys", json=sent)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def call(self, address: str, words: str = "one two three") -> httpx.Response:
        """A chat completion of the sandbox."""
        with self.client(address) as client:
            return client.post(
                "/api/v1/chat/completions",
                json={
                    "model": "sandbox/echo",
                    "messages": [{"role": "user", "content": words}],
                },
            )


@contextmanager
def installed(folder: Path, settings: Mapping[str, str]) -> Iterator[Installation]:
    """An installation whose processes end with the block."""
    made = Installation(folder, settings)
    try:
        yield made
    except BaseException:
        with_logs = [f"--- {each.name}\n{each.said()}" for each in made._processes]
        print("\n".join(with_logs))
        raise
    finally:
        made.end()


def eventually(look: Callable[[], T | None], told: Callable[[], str], *, s: float = START_S) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + s
    while not (found := look()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
    return found


def answers(url: str) -> bool:
    """Whether somebody answers 200 there."""
    try:
        return httpx.get(url, timeout=5, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
