"""What keytoll costs per call: `python -m bench.gateway [requests]`.

Against the bare passthrough of `bench.passthrough`, in the same run: the same scripted provider,
bodies, connections and load. keytoll runs with everything on: two durable events a call, receipt,
projector. Its CPU time counts until the projections have caught up with the last call.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil

from bench.measure import MODES, Figures, header, line, measure, start_upstream
from bench.passthrough import start_passthrough

REQUESTS: Final = 3000
START_S_MAX: Final = 60.0
CONNECTIONS: Final = (1, 16)


@dataclass(frozen=True)
class Gateway:
    """A running keytoll."""

    url: str
    pid: int
    keys: dict[str, str]
    ready_s: float
    """From exec to the first 200 of /readyz."""

    def headers(self, role: str = "owner") -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[role]}", "content-type": "application/json"}

    def ask(self, path: str, body: Any = None, role: str = "owner") -> Any:
        """One JSON request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers=self.headers(role))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def settle(self) -> None:
        """Wait until every call is projected."""
        while True:
            metrics = self._metrics()
            if metrics["keytoll_projection_lag_events"] == 0:
                return
            time.sleep(0.1)

    def _metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (text.rsplit(" ", 1) for text in lines if not text.startswith("#"))
        return {name: float(value) for name, value in pairs}


@contextmanager
def start_keytoll(upstream: str) -> Iterator[Gateway]:
    """A fresh installation in front of `upstream`, with one openai key."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "KEYTOLL_DATA": str(Path(folder) / "data"),
            "KEYTOLL_LISTEN": "127.0.0.1:0",
            "KEYTOLL_UPSTREAMS": json.dumps({"openai": upstream}),
        }
        command = [sys.executable, "-m", "keytoll"]
        made = subprocess.run(
            [*command, "init", "--json"], env=environment, capture_output=True, check=True
        )
        began = time.monotonic()
        with subprocess.Popen(
            [*command, "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout
            url = process.stdout.readline().decode().split()[3].rstrip(",")
            ready_s = time.monotonic() - began
            gateway = Gateway(url, process.pid, json.loads(made.stdout)["api_keys"], ready_s)
            try:
                gateway.ask(
                    "/api/user/provider-keys",
                    {"provider": "openai", "key": "sk-bench0000000000000000", "validate": False},
                )
                yield gateway
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)


def main(requests: int) -> list[tuple[Figures, Figures]]:
    """Measure both subjects in turn, and print figures and ratios."""
    pairs = []
    print(header())
    with (
        start_upstream() as upstream,
        start_passthrough(upstream) as (bare_url, bare_pid),
        start_keytoll(upstream) as gateway,
    ):
        for mode in MODES:
            for connections in CONNECTIONS:
                under = partial(measure, mode=mode, connections=connections, requests=requests)
                bare = under("passthrough", bare_url, bare_pid)
                print(line(bare), flush=True)
                own = under(
                    "keytoll",
                    f"{gateway.url}/api/v1",
                    gateway.pid,
                    headers=gateway.headers(),
                    settled=gateway.settle,
                )
                print(line(own), f"  {own.cpu_ms / bare.cpu_ms:.2f} x the CPU", flush=True)
                pairs.append((bare, own))
        resident = psutil.Process(gateway.pid).memory_info().rss / 2**20
        print(f"keytoll: ready {gateway.ready_s:.2f} s after exec, {resident:.0f} MiB resident")
    for bare, own in pairs:
        print(
            f"added latency, {own.mode}, {own.connections} connections:"
            f" p50 {own.p50_ms - bare.p50_ms:.2f} ms, p99 {own.p99_ms - bare.p99_ms:.2f} ms"
        )
    return pairs


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else REQUESTS)
