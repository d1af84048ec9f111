"""What was answered as stored survives kill −9 of the process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domain.eventlog.sqlite_file import verify_file
from tests.domain.eventlog.filling import opened

ROOT = Path(__file__).parents[3]

WRITER = """
import asyncio, sys
from pathlib import Path
from domain.clock import SystemClock
from domain.eventlog.sqlite import open_sqlite_log
from tests.domain.eventlog.filling import reported, routed

async def call(log):
    while True:
        request = routed()
        for event in (request, reported(request.originator_id)):
            (recorded,) = await log.append(event, account_id=None)
            sys.stdout.write(f"{recorded.seq} {recorded.hash}\\n")
            sys.stdout.flush()

async def main():
    log = open_sqlite_log(Path(sys.argv[1]), clock=SystemClock())
    await asyncio.gather(*(call(log) for _ in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("answers", [1, 200, 777])
def test_nothing_that_was_answered_is_lost(tmp_path: Path, answers: int) -> None:
    path = tmp_path / "events.sqlite"
    acknowledged: dict[int, str] = {}
    for _ in range(2):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert writer.stdout is not None
        for _ in range(answers):
            seq, hash_of_line = writer.stdout.readline().split()
            acknowledged[int(seq)] = hash_of_line
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            if line.endswith("\n"):
                seq, hash_of_line = line.split()
                acknowledged[int(seq)] = hash_of_line
        writer.stdout.close()
        writer.wait()
        log = opened(path)
        stored = {row.seq: row.hash for row in log.read(after=0, limit=10**6)}
        assert acknowledged.items() <= stored.items()
        assert len(log.open_requests()) <= 16 * 2
        log.close()
        report = verify_file(path)
        assert report.ok, report.findings
