"""Start the parts of a benchmark and measure the process in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import psutil

from bench.load import Job

_BODY: Final = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "You are the keeper of a toll gate. Answer in one sentence."},
        {"role": "user", "content": "What does it cost to pass, and who is paid? " * 6},
    ],
    "max_completion_tokens": 200,
}
_STREAMED: Final = {"stream": True, "stream_options": {"include_usage": True}}
MODES: Final[dict[str, dict[str, object]]] = {
    "json": {},
    "sse": _STREAMED,
    "sse-spread": {**_STREAMED, "seed": 58},
}
"""An answer of about 1 KB; 58 chunks in one write; 58 chunks each in a write of its own."""


@dataclass(frozen=True)
class Figures:
    """One subject under one load."""

    subject: str
    mode: str
    connections: int
    requests: int
    failed: int
    cpu_ms: float
    """CPU time of the subject's whole process (and its children), per request."""
    per_second: float
    p50_ms: float
    p99_ms: float


@contextmanager
def start_module(name: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run `python -m name`, which prints {"port": …} and ends with its stdin. (port, pid)."""
    command = [sys.executable, "-m", name, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} ended before it listened")
        try:
            yield json.loads(line)["port"], process.pid
        finally:
            process.stdin.close()
            process.wait(timeout=30)


@contextmanager
def start_upstream() -> Iterator[str]:
    """The scripted provider; yields the base URL that stands before /chat/completions."""
    with start_module("bench.upstream") as (port, _):
        yield f"http://127.0.0.1:{port}/v1"


def measure(
    subject: str,
    base_url: str,
    pid: int,
    *,
    mode: str,
    connections: int,
    requests: int,
    headers: Mapping[str, str] | None = None,
    model: str = "gpt-4o-mini",
    settled: Callable[[], None] | None = None,
) -> Figures:
    """Load the subject and take its CPU time between the first request and the last answer.

    `settled` returns once work that the subject put off is done too; its CPU time counts as well.
    """
    job = Job(
        url=f"{base_url}/chat/completions",
        headers=dict(headers or {}),
        body=json.dumps({**_BODY, "model": model, **MODES[mode]}),
        connections=connections,
        warm_up=max(200, requests // 10),
        requests=requests,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        assert load.stdin
        assert load.stdout
        print(json.dumps(asdict(job)), file=load.stdin, flush=True)
        if load.stdout.readline() != "ready\n":
            raise RuntimeError(f"{subject}: the warm-up failed")
        if settled is not None:
            settled()
        before = _cpu_s(pid)
        print("go", file=load.stdin, flush=True)
        done = json.loads(load.stdout.readline())
        if settled is not None:
            settled()
        used = _cpu_s(pid) - before
    return Figures(
        subject=subject,
        mode=mode,
        connections=connections,
        requests=done["requests"],
        failed=done["failed"],
        cpu_ms=1000 * used / done["requests"],
        per_second=done["requests"] / done["wall_s"],
        p50_ms=done["p50_ms"],
        p99_ms=done["p99_ms"],
    )


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        total += times.user + times.system
    return total


def header() -> str:
    """The column titles of `line`."""
    return (
        f"{'subject':16}{'mode':12}{'conns':>6}{'requests':>10}{'failed':>8}"
        f"{'CPU ms':>9}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}"
    )


def line(figures: Figures) -> str:
    """One measurement, as a row."""
    f = figures
    return (
        f"{f.subject:16}{f.mode:12}{f.connections:6}{f.requests:10}{f.failed:8}"
        f"{f.cpu_ms:9.3f}{f.per_second:9.0f}{f.p50_ms:9.2f}{f.p99_ms:9.2f}"
    )
