"""A projector that is killed for real, again and again, over the real log."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.eventlog.port import heads_of
from domain.eventlog.sqlite import open_sqlite_log
from projections.drift import drift
from projections.projector import Projector
from projections.rebuild import facts
from projections.store.port import ProjectionStore
from tests.projections.world import World

ROOT = Path(__file__).parents[2]
ROUNDS = 5

PROJECT = """
import sys
from pathlib import Path
from domain.clock import SystemClock
from domain.eventlog.port import heads_of
from domain.eventlog.sqlite import open_sqlite_log
from projections.drift import drift
from projections.migrate import prepare
from projections.projector import Projector
from projections.queries.health import conflicts, dead_letters
from projections.rebuild import facts
from projections.store.clickhouse import open_embedded
from tests.projections.world import World

folder, last = Path(sys.argv[1]), sys.argv[2] == "last"
log = open_sqlite_log(folder / "events.sqlite", clock=SystemClock())
store = open_embedded(folder / "projections")
prepare(store)
books = World().books
projector = Projector(log=log, store=store, books=books, batch_events_max=37)
print("started", *projector.start().values(), flush=True)
projector.catch_up()
if last:
    assert not drift(log=log, store=store, books=books, until=heads_of(log))
    assert (conflicts(store), dead_letters(store)) == (0, 0)
    print(facts(store, until={log.store_id: log.head()}))
store.close()
log.close()
"""


def fill(folder: Path) -> None:
    """A log of some thousand events, as a file."""
    world = World()
    log = open_sqlite_log(folder / "events.sqlite", clock=SystemClock())
    world.log = log
    account = world.open_account("a")
    for number in range(700):
        request = world.call(account)
        if number % 5 == 0:
            world.corrected(request, account, input_tokens=number, output_tokens=1)
    log.close()


def run(folder: Path, *, last: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROJECT, str(folder), "last" if last else "killed"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_9_neither_loses_nor_doubles(tmp_path: Path, tables: ProjectionStore) -> None:
    fill(tmp_path)
    chance = random.Random(7)
    positions = []
    for _ in range(ROUNDS):
        process = run(tmp_path)
        assert process.stdout is not None
        positions.append(int(process.stdout.readline().removeprefix("started ")))
        time.sleep(chance.uniform(0.02, 0.5))
        process.kill()
        process.communicate()
    assert positions == sorted(positions)
    done = run(tmp_path, last=True)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err[-2000:]
    # The undisturbed run gives the very same facts.
    log = open_sqlite_log(tmp_path / "events.sqlite", clock=SystemClock())
    try:
        Projector(log=log, store=tables, books=World().books).catch_up()
        assert out.splitlines()[1] == str(facts(tables, until={log.store_id: log.head()}))
        assert not drift(log=log, store=tables, books=World().books, until=heads_of(log))
    finally:
        log.close()
    if len(set(positions)) == 1:
        pytest.fail("no round was killed while it made progress")
