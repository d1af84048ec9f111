"""Several logs as one: what lies where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from domain.clock import FixedClock
from domain.directory import Directory
from domain.errors import BadValue
from domain.eventlog.history import history
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.past import PastLog, places_at
from domain.eventlog.port import (
    StoreUnavailable,
    bases_of,
    heads_of,
    stores_of,
    written_heads_of,
)
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.raw import verify_stored
from domain.eventlog.several import SeveralLogs
from domain.eventlog.sqlite import begin_new_store
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.store import LogSealed
from domain.ids import new_id, public_id
from tests.domain.eventlog import filling
from tests.domain.eventlog.filling import START, failed, routed
from tests.domain.events.samples import sample
from tests.services.fixtures import fresh_database

OLD, NEW = new_id(), new_id()
"""An account of the first log, and one that is new."""


def opened_account(stream: UUID) -> Event:
    event = sample("account.opened")
    return type(event)(**{**vars(event), "originator_id": stream})


def in_stream(topic: str, stream: UUID) -> Event:
    return replace(sample(topic), originator_id=stream, originator_version=1)  # type: ignore[type-var]


@pytest.fixture
def logs() -> tuple[StoredLog, StoredLog]:
    """One that holds an account, and one that was added."""
    clock = FixedClock(START)
    first, last = (open_memory_log(store_id=name, clock=clock) for name in ("st_1", "st_2"))
    first.submit(opened_account(OLD), account_id=public_id("acc", OLD)).result()
    return first, last


@pytest.fixture
def both(logs: tuple[StoredLog, StoredLog]) -> Iterator[SeveralLogs]:
    log = SeveralLogs(logs)
    yield log
    log.close()


def store_of(log: SeveralLogs, event: Event, account_id: str | None) -> str:
    return log.submit(event, account_id=account_id).result()[0].store_id


def test_an_account_stays_where_it_is_and_a_new_one_goes_to_the_last(both: SeveralLogs) -> None:
    old, new = public_id("acc", OLD), public_id("acc", NEW)
    assert (both.home(old), both.home(new), both.home(None)) == ("st_1", "st_2", "st_2")
    request = routed(account_id=old)
    assert store_of(both, request, old) == "st_1"
    assert store_of(both, failed(request.originator_id), old) == "st_1"
    assert store_of(both, opened_account(NEW), new) == "st_2"
    assert both.home(new) == "st_2"
    assert [row.store_id for row in both.stream(request.originator_id)] == ["st_1", "st_1"]
    assert [row.store_id for row in both.stream(NEW)] == ["st_2"]
    assert both.stream(new_id()) == []


def test_a_new_account_has_its_home_also_when_another_log_is_added(
    logs: tuple[StoredLog, StoredLog],
) -> None:
    third = open_memory_log(store_id="st_3", clock=FixedClock(START))
    SeveralLogs(logs).submit(opened_account(NEW), account_id=public_id("acc", NEW)).result()
    grown = SeveralLogs([*logs, third])
    assert grown.home(public_id("acc", NEW)) == "st_2"
    assert grown.home(None) == "st_3"
    grown.close()


@pytest.mark.parametrize(
    "topic", ["invoice.issued", "invoice.credit-note-issued", "price-book.published"]
)
def test_what_is_numbered_once_for_all_lies_in_the_first(both: SeveralLogs, topic: str) -> None:
    assert store_of(both, sample(topic), public_id("acc", NEW)) == "st_1"


def test_events_of_different_stores_are_never_one_append(both: SeveralLogs) -> None:
    with pytest.raises(BadValue, match="different stores"):
        both.submit(sample("invoice.issued"), routed(), account_id=public_id("acc", NEW))
    old = public_id("acc", OLD)
    group = both.submit(sample("invoice.issued"), routed(account_id=old), account_id=old)
    assert {row.store_id for row in group.result()} == {"st_1"}


async def test_every_chain_is_opened_and_sealed_in_order(both: SeveralLogs) -> None:
    await both.append(routed(), account_id=None)
    opened = both.opened(epoch="ep", program="keytoll test").result()
    assert [(row.store_id, row.seq) for row in opened] == [("st_1", 2), ("st_2", 2)]
    seals = [decode(row) for row in both.seal().result()]
    assert [seal.size for seal in seals if isinstance(seal, LogSealed)] == [2, 2]


def test_a_store_that_fails_fails_the_seal_of_all(
    logs: tuple[StoredLog, StoredLog], both: SeveralLogs
) -> None:
    logs[1].close()
    assert isinstance(both.seal().exception(10), StoreUnavailable)
    assert logs[0].head() == 2, "the other was sealed, which does no harm"


def test_two_logs_of_one_store_are_refused(logs: tuple[StoredLog, StoredLog]) -> None:
    with pytest.raises(BadValue, match="same id"):
        SeveralLogs([logs[0], logs[0]])


def test_readers_see_all_chains(both: SeveralLogs) -> None:
    both.submit(opened_account(NEW), account_id=public_id("acc", NEW)).result()
    directory = Directory(both)
    directory.catch_up()
    accounts = [account.account_id for account in directory.accounts()]
    assert accounts == [public_id("acc", OLD), public_id("acc", NEW)]
    assert [row.store_id for row in history(both)] == ["st_1", "st_2"]
    past = PastLog(both, until={"st_1": 1})
    assert heads_of(past) == {"st_1": 1, "st_2": 0}
    assert (past.stream(NEW), [row.seq for row in past.stream(OLD)]) == ([], [1])
    assert places_at(both, START) == {"st_1": 1, "st_2": 1} == written_heads_of(both)


def test_a_chain_counts_its_own_stores(tmp_path: Path) -> None:
    """A restored store and another beside it: positions begin again with each chain."""
    path = tmp_path / "events.sqlite"
    log = filling.opened(path, store_id="st_1")
    filling.fill(log, calls=2)
    log.close()
    begin_new_store(path, store_id="st_2")
    beside = open_memory_log(store_id="st_3", clock=FixedClock(START))
    both = SeveralLogs([filling.opened(path), beside])
    assert [len(chain.stores) for chain in both.chains()] == [2, 1]
    assert [store.store_id for store in stores_of(both)] == ["st_1", "st_2", "st_3"]
    assert bases_of(both) == {"st_1": 0, "st_2": 6, "st_3": 0}
    assert heads_of(PastLog(both, until={"st_1": 4})) == {"st_1": 4, "st_3": 0}
    assert heads_of(PastLog(both, until={"st_2": 9, "st_3": 9})) == {
        "st_1": 6,
        "st_2": 0,
        "st_3": 0,
    }
    both.close()


@pytest.mark.services
def test_two_databases_are_one_log(postgres_server: str) -> None:
    with fresh_database(postgres_server) as one, fresh_database(postgres_server) as two:
        clock = FixedClock(START)
        alone = open_postgres_log(one, store_id="st_1", clock=clock)
        alone.submit(opened_account(OLD), account_id=public_id("acc", OLD)).result()
        both = SeveralLogs([alone, open_postgres_log(two, store_id="st_2", clock=clock)])
        old, new = public_id("acc", OLD), public_id("acc", NEW)
        assert store_of(both, opened_account(NEW), new) == "st_2"
        assert store_of(both, routed(account_id=old), old) == "st_1"
        assert len(both.open_requests()) == 1
        both.seal().result()
        both.close()
        report = verify_stored(one, two)
        assert report.ok, report.findings
        assert [(state.store_id, state.size) for state in report.stores] == [
            ("st_1", 3),
            ("st_2", 2),
        ]
