"""What locks and leases promise, in one process and over a shared database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest

from domain.clock import FixedClock, SystemClock
from domain.coordination.memory import MemoryLeases, MemoryLocks
from domain.coordination.port import Busy, Leases, Locks, held
from domain.coordination.postgres import PostgresLeases, PostgresLocks
from domain.eventlog.port import StoreUnavailable
from domain.labels.postgres import PostgresLabels
from domain.postgres import connect
from domain.vault.postgres import PostgresShelf
from tests.instants import AT

BOTH = [
    "memory",
    pytest.param("postgres", marks=pytest.mark.services),
]


@dataclass
class Two:
    """What two processes hold of the same thing."""

    locks: tuple[Locks, Locks]
    leases: tuple[Leases, Leases]


@pytest.fixture(params=BOTH)
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    if request.param == "memory":
        # One process: both hands reach for the same object.
        locks, leases = MemoryLocks(), MemoryLeases(SystemClock())
        made = Two((locks, locks), (leases, leases))
    else:
        dsn = request.getfixturevalue("postgres_dsn")
        made = Two(
            (PostgresLocks(dsn), PostgresLocks(dsn)), (PostgresLeases(dsn), PostgresLeases(dsn))
        )
    yield made
    for each in (*made.locks, *made.leases):
        each.close()


def test_a_name_has_one_holder(two: Two) -> None:
    mine, yours = two.locks
    first = mine.take("relay:a")
    assert first is not None
    assert first.still()
    assert yours.take("relay:a") is None
    assert mine.take("relay:a") is None
    other = yours.take("relay:b")
    assert other is not None
    first.release()
    first.release()
    assert not first.still()
    second = yours.take("relay:a")
    assert second is not None
    assert second.still()
    assert other.still()


def test_whoever_waits_gets_it_when_it_is_given_up(two: Two) -> None:
    mine, yours = two.locks
    first = mine.take("closing")
    assert first is not None
    assert yours.take("closing", wait_s=0.05) is None
    threading.Timer(0.1, first.release).start()
    second = yours.take("closing", wait_s=30)
    assert second is not None
    assert second.still()


def test_a_block_holds_or_is_refused(two: Two) -> None:
    mine, yours = two.locks
    with held(mine, "price-list") as lock:
        assert lock.still()
        with pytest.raises(Busy, match="price-list"), held(yours, "price-list"):
            raise AssertionError("two hold it")
    assert not lock.still()
    with held(yours, "price-list"):
        pass


def test_closing_gives_everything_up(two: Two) -> None:
    mine, yours = two.locks
    lock = mine.take("sweeping")
    assert lock is not None
    mine.close()
    assert not lock.still()
    assert yours.take("sweeping") is not None


def test_a_process_lives_until_its_lease_lapses(two: Two) -> None:
    mine, yours = two.leases
    assert yours.alive() == frozenset()
    assert mine.renew("epoch-1", for_s=60)
    assert yours.renew("epoch-2", for_s=0.05)
    time.sleep(0.1)
    assert mine.alive() == yours.alive() == {"epoch-1"}
    assert not yours.renew("epoch-2", for_s=60)
    assert yours.renew("epoch-2", for_s=60)
    assert mine.alive() == {"epoch-1", "epoch-2"}
    mine.release("epoch-1")
    mine.release("epoch-1")
    assert yours.alive() == {"epoch-2"}


def test_a_lease_of_a_process_ends_with_its_last_instant() -> None:
    clock = FixedClock(AT)
    leases = MemoryLeases(clock)
    leases.renew("epoch", for_s=15)
    clock.advance(timedelta(seconds=14, milliseconds=999))
    assert leases.alive() == {"epoch"}
    clock.advance(timedelta(milliseconds=1))
    assert leases.alive() == frozenset()


@pytest.mark.services
def test_a_lock_is_lost_with_its_session(postgres_dsn: str) -> None:
    mine, yours = PostgresLocks(postgres_dsn), PostgresLocks(postgres_dsn)
    lock = mine.take("relay:a")
    assert lock is not None
    with connect(postgres_dsn, purpose="test") as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = 'keytoll lock relay:a'"
        ).fetchall()
    assert ended == [(True,)]
    other = yours.take("relay:a")
    assert other is not None
    assert not lock.still()
    assert not lock.still()
    lock.release()
    assert other.still()
    yours.close()


@pytest.mark.services
def test_a_frozen_holder_loses_its_locks_and_a_living_one_does_not(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = PostgresLocks(postgres_dsn, silent_s=1)
    kept = living.take("kept")
    assert kept is not None
    monkeypatch.setattr(PostgresLocks, "_speak", lambda _: None)
    frozen = PostgresLocks(postgres_dsn, silent_s=1)
    lost = frozen.take("lost")
    assert lost is not None
    taken = living.take("lost", wait_s=30)
    assert taken is not None
    assert (lost.still(), kept.still()) == (False, True)
    living.close()
    frozen.close()


@pytest.mark.services
def test_a_broken_connection_is_made_again(postgres_dsn: str) -> None:
    leases = PostgresLeases(postgres_dsn)
    with connect(postgres_dsn, purpose="test") as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = 'keytoll leases'"
        )
    assert leases.renew("epoch", for_s=60)
    assert leases.alive() == {"epoch"}
    leases.close()


@pytest.mark.services
def test_a_database_that_is_away_is_named_without_its_address() -> None:
    nowhere = "postgresql://someone:hidden@127.0.0.1:1/none"
    for attempt in (lambda: PostgresLocks(nowhere).take("a"), lambda: PostgresLeases(nowhere)):
        with pytest.raises(StoreUnavailable) as raised:
            attempt()
        assert "hidden" not in str(raised.value)


@pytest.mark.services
def test_processes_that_start_together_make_the_tables_once(postgres_dsn: str) -> None:
    def start(_: int) -> None:
        for opened in (PostgresLeases, PostgresLabels, PostgresShelf):
            opened(postgres_dsn).close()

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(start, range(8)))) == 8
