"""keytoll as a process of its own, on a data folder of its own: started, stopped, killed, read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from domain import sqlite

Json = dict[str, Any]
REPOSITORY: Final = Path(__file__).parents[2]
START_S: Final = 30.0
STOP_S: Final = 30.0
_ADDRESS: Final = re.compile(r"http://[^\s,]+")
KEYS: Final[Mapping[str, Any]] = {
    "openai": "sk-proj-e2eOpenAi0001",
    "openai-responses": "sk-proj-e2eResponses0001",
    "anthropic": "sk-ant-api03-e2eAnthropic0001",
    "openrouter": "sk-or-v1-e2eOpenRouter0001",
    "chutes": f"cpk_{'a' * 32}.{'b' * 32}.{'C' * 28}0001",
    "aws": {
        "accessKeyId": "AKIAE2EEXAMPLE000001",
        "secretAccessKey": "e2eSecretAccessKey/0001",
        "region": "us-east-1",
    },
    "azure": {
        "endpoint": "https://e2e-resource.openai.azure.com",
        "apiKey": "e2eAzure0001",
        "deploymentName": "gpt-4o-mini",
        "apiVersion": "2024-10-21-preview",
    },
    "azure-responses": {
        "endpoint": "https://e2e-resource.openai.azure.com",
        "apiKey": "e2eAzureResponses0001",
        "apiVersion": "2025-04-01-preview",
    },
    "groq": "gsk_e2eGroq0001",
    "sambanova": "e2eSambaNova0001",
    "vercel": "vck_e2eVercel0001",
    "novita": "sk_e2eNovita0001",
    "akash": "sk-e2eAkash0001",
    "nvidia": "nvapi-e2eNvidia0001",
    "google": "AIzae2eGoogle0001",
    "hyperbolic": "e2eHyperbolic0001",
    "morpheus": "sk-AbCdEf.e2eMorpheus0001",
    "fireworks": "fw_e2eFireworks0001",
    "together": "tgp_v1_e2eTogether0001",
    "sandbox": "play-money-0001",
}
"""A key for each provider; all end in 0001."""


class Program:
    """One installation. `start` may be called again after `stop` or `kill`."""

    def __init__(
        self,
        folder: Path,
        *,
        upstreams: Mapping[str, str],
        settings: Mapping[str, str] | None = None,
        entry: Sequence[str] = ("-m", "keytoll"),
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "log.jsonl"
        self.entry = list(entry)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "KEYTOLL_DATA": str(self.data),
            "KEYTOLL_LISTEN": "127.0.0.1:0",
            "KEYTOLL_LOG_FORMAT": "json",
            "KEYTOLL_UPSTREAMS": json.dumps(dict(upstreams)),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._read: list[Json] = []
        self.account_id = ""
        self.api_keys: dict[str, str] = {}
        self.base_url = ""

    def init(self) -> None:
        """`keytoll init --json`."""
        done = self.command("init", "--json")
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        self.account_id, self.api_keys = shown["account_id"], shown["api_keys"]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Any command of the program, in its own process."""
        return subprocess.run(
            [sys.executable, "-m", "keytoll", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self) -> None:
        """Start and return once calls are taken."""
        out = self.folder / "out.txt"
        with out.open("wb") as stdout, self.log_file.open("ab") as stderr:
            process = self._process = subprocess.Popen(
                [sys.executable, *self.entry, "serve"],
                cwd=self.folder,
                env=self.environment,
                stdout=stdout,
                stderr=stderr,
            )
        deadline = time.monotonic() + START_S
        while (found := _ADDRESS.search(out.read_text())) is None:
            assert process.poll() is None, self.log_text()
            assert time.monotonic() < deadline, "the program did not start"
            time.sleep(0.01)
        self.base_url = found.group()
        while httpx.get(f"{self.base_url}/readyz").status_code != 200:
            assert time.monotonic() < deadline, "the program did not become ready"
            time.sleep(0.01)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def signal_stop(self) -> None:
        """SIGTERM, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, and wait for an orderly end."""
        if self.process.poll() is None:
            self.signal_stop()
        self.wait_for_end()

    def wait_for_end(self) -> None:
        """The process must end by itself, with code 0."""
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the program did not stop") from None
        assert code == 0, self.log_text()

    def kill(self) -> None:
        """SIGKILL, by its own pid."""
        self.process.kill()
        self.process.wait(STOP_S)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log_text(self) -> str:
        """Everything that was logged."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def log_lines(self) -> list[Json]:
        """The log as the objects that its lines must be."""
        return [json.loads(line) for line in self.log_text().splitlines()]

    def client(self, role: str | None = "owner") -> httpx.Client:
        """A plain HTTP client with the API key of a role."""
        headers = {} if role is None else {"authorization": f"Bearer {self.api_keys[role]}"}
        # No certificates are loaded: everything here is plain HTTP on loopback.
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60, verify=False)

    def store_key(self, provider: str, key: object, **more: object) -> str:
        """Add a provider key; its credential id."""
        with self.client() as client:
            sent = {"provider": provider, "key": key, "validate": False, **more}
            answer = client.post("/api/user/provider-keys", json=sent)
        assert answer.status_code == 201, answer.text
        identity: str = answer.json()["id"]
        return identity

    def lines(self) -> list[Json]:
        """Every event, read past the program from its file; each proven by seq and hash."""
        self._read.clear()
        return self._lines()

    def _lines(self) -> list[Json]:
        """The same; what was proven by an earlier look is not read again."""
        connection = sqlite.connect(self.data / "events.sqlite", read_only=True)
        try:
            connection.execute("BEGIN")  # both answers are of one instant, while calls go on
            rows = connection.execute(
                "SELECT l.position, l.hash, e.state FROM lines l"
                " JOIN stored_events e ON e.rowid = l.position"
                " WHERE l.position > ? ORDER BY l.position",
                (len(self._read),),
            ).fetchall()
            (stored,) = connection.execute("SELECT count(*) FROM stored_events").fetchone()
        finally:
            connection.close()
        for position, digest, line in rows:
            found = json.loads(line)
            assert position == found["seq"] == len(self._read) + 1
            assert hashlib.sha256(b"\0" + line).digest() == digest
            self._read.append(found)
        assert len(self._read) == stored
        return list(self._read)

    def requests(self) -> dict[str, list[Json]]:
        """Public request id → its events, by version."""
        found: dict[str, list[Json]] = {}
        for line in self._lines():
            if line["topic"].startswith("request."):
                identity = "req_" + line["originator_id"].replace("-", "")
                found.setdefault(identity, []).append(line)
        for events in found.values():
            assert [e["originator_version"] for e in events] == list(range(1, len(events) + 1))
        return found

    def events_of(self, request_id: str, *, count: int = 2, timeout_s: float = 10.0) -> list[Json]:
        """The events of one request, once there are at least `count`."""
        deadline = time.monotonic() + timeout_s
        while True:
            events = self.requests().get(request_id, [])
            if len(events) >= count:
                return events
            assert time.monotonic() < deadline, f"{request_id} has {len(events)} events"
            time.sleep(0.02)

    def tagged(self, name: str) -> list[list[Json]]:
        """The requests that were tagged call=name."""
        return [
            events
            for events in self.requests().values()
            if events[0]["data"]["tags"].get("call") == name
        ]

    def settled(self, name: str, *, timeout_s: float = 10.0) -> Json:
        """The terminal event of the one request that was tagged call=name."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.tagged(name)
            if len(found) == 1 and len(found[0]) > 1:
                return found[0][1]
            assert time.monotonic() < deadline, f"{name}: {found}"
            time.sleep(0.02)
