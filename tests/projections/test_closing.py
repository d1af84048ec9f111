"""What a close would wait for is what the closer refuses for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from projections.invoicing import CannotClose
from projections.rows import Place, columns, dead_letter
from projections.store.port import ProjectionStore
from tests.workers.office import DECEMBER, NOVEMBER, Office


@pytest.fixture
def office(tables: ProjectionStore) -> Office:
    return Office(tables)


def reasons(office: Office, account: str | None = None, grace_s: int = 0) -> list[str]:
    found = office.invoices.waits(
        NOVEMBER,
        now=office.world.clock.now(),
        grace=timedelta(seconds=grace_s),
        account_id=account,
    )
    return [wait.reason for wait in found]


def test_nothing_keeps_a_month_that_is_over(office: Office) -> None:
    account = office.world.open_account("a")
    office.world.call(account)
    office.go_to(NOVEMBER.end)
    office.projector.catch_up()
    assert reasons(office) == []
    office.close(NOVEMBER)


def test_the_grace_time_counts(office: Office) -> None:
    office.go_to(NOVEMBER.end + timedelta(seconds=59))
    office.projector.catch_up()
    (reason,) = reasons(office, grace_s=60)
    assert reason.endswith("it can be closed 60 seconds later")
    with pytest.raises(CannotClose, match="60 seconds later"):
        office.closer.close(NOVEMBER, grace_s=60)
    office.world.tick()
    assert reasons(office, grace_s=60) == []


def test_projections_that_lag_are_named(office: Office) -> None:
    account = office.world.open_account("a")
    office.go_to(NOVEMBER.end)
    office.projector.catch_up()
    office.world.call(account)
    assert reasons(office) == ["the projections are 2 events behind the log"]


def test_each_reason_is_the_closers_own(office: Office) -> None:
    world = office.world
    waited, free = world.open_account("a"), world.open_account("b")
    place = Place.of(world.log.stream(world.call(waited))[1])
    world.call(free)
    world.routed(waited)
    office.go_to(NOVEMBER.end)
    office.projector.catch_up()
    row = dead_letter(place, error="strange")
    office.tables.insert("dead_letters", columns("dead_letters", [row]), token="x")
    found = reasons(office)
    assert len(found) == 2
    assert all(reason.startswith(waited) for reason in found)
    assert office.closer.close(NOVEMBER, grace_s=0).refused == {waited: found[0]}
    office.projector.catch_up()
    assert reasons(office, account=free) == []


def test_an_account_that_only_waits_is_named(office: Office) -> None:
    account = office.world.open_account("a")
    office.world.routed(account)
    office.go_to(NOVEMBER.end)
    office.projector.catch_up()
    assert reasons(office) == [f"{account} has 1 requests that have not ended"]


def test_the_running_month_begins_where_an_account_was_closed(office: Office) -> None:
    world = office.world
    early, late = world.open_account("a"), world.open_account("b")
    world.call(early)
    world.call(late)
    world.tick(days=10)
    middle = world.clock.now()
    office.close(type(NOVEMBER)(NOVEMBER.start, middle), account_id=early)
    world.tick(days=1)
    world.call(early, usage={"input_tokens": 5, "output_tokens": 5})
    drafts = {each["account_id"]: each for each in office.invoices.running(NOVEMBER)}
    assert drafts.keys() == {early, late}
    assert drafts[early]["period"]["start"] == "2026-11-11T00:00:00.000000Z"
    assert [line["input_tokens"] for line in drafts[early]["lines"]] == [5]
    assert drafts[late]["period"]["start"] == "2026-11-01T00:00:00.000000Z"
    assert office.invoices.running(NOVEMBER, account_id=late) == [drafts[late]]


def test_a_month_that_is_closed_has_nothing_running(office: Office) -> None:
    account = office.world.open_account("a")
    office.world.call(account)
    office.go_to(DECEMBER.start)
    office.close(NOVEMBER)
    assert office.invoices.running(NOVEMBER) == []
