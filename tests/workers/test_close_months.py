"""Months close by themselves: once over, each account as soon as nothing stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.invoice import Period
from projections.store.port import ProjectionStore, ProjectionUnavailable
from tests.workers.office import DECEMBER, NOVEMBER, Office
from workers.close_months import EVERYBODY, RETRY_S, CloseMonths

GRACE_S = 3600.0


@pytest.fixture
def office(tables: ProjectionStore) -> Office:
    return Office(tables)


@pytest.fixture
def refused() -> list[Mapping[str, str]]:
    return []


def months(office: Office, refused: list[Mapping[str, str]], **given: Any) -> CloseMonths:
    return CloseMonths(
        **{
            "closer": lambda: office.closer,
            "projected": lambda: office.projector,
            "register": office.register,
            "clock": office.world.clock,
            "grace_s": GRACE_S,
            "on_refused": refused.append,
            **given,
        }
    )


def issued(office: Office) -> list[tuple[str, str]]:
    office.register.catch_up()
    return [(each.account_id, str(each.period)) for each in office.register.all()]


def test_a_month_is_closed_once_its_grace_time_is_over(
    office: Office, refused: list[Mapping[str, str]]
) -> None:
    account = office.world.open_account("a")
    office.world.call(account)
    step = months(office, refused)
    office.go_to(NOVEMBER.end + timedelta(seconds=GRACE_S - 1))
    step()
    assert issued(office) == []
    office.go_to(NOVEMBER.end + timedelta(seconds=GRACE_S))
    step()
    assert issued(office) == [(account, str(NOVEMBER))]
    # Nothing more until the next month is over.
    head = office.world.log.head()
    step()
    assert (office.world.log.head(), refused) == (head, [])


def test_months_that_were_missed_are_closed_in_their_order(
    office: Office, refused: list[Mapping[str, str]]
) -> None:
    account = office.world.open_account("a")
    office.world.call(account)
    office.go_to(datetime(2027, 1, 20, tzinfo=UTC))
    office.world.call(account)
    office.go_to(datetime(2027, 3, 2, tzinfo=UTC))
    months(office, refused)()
    january = Period(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC))
    assert issued(office) == [(account, str(NOVEMBER)), (account, str(january))]


def test_one_account_s_obstacle_keeps_no_other_and_is_tried_again(
    office: Office, refused: list[Mapping[str, str]]
) -> None:
    world = office.world
    free, stuck = world.open_account("free"), world.open_account("stuck")
    world.call(free)
    world.call(stuck)
    request = world.routed(stuck)
    step = months(office, refused)
    office.go_to(NOVEMBER.end + timedelta(seconds=GRACE_S))
    step()
    assert issued(office) == [(free, str(NOVEMBER))]
    assert refused == [{stuck: f"{stuck} has 1 requests that have not ended"}]
    world.failed(request, stuck)
    step()
    assert len(issued(office)) == 1, "not before the time to try again has come"
    world.tick(seconds=RETRY_S)
    step()
    assert issued(office) == [(free, str(NOVEMBER)), (stuck, str(NOVEMBER))]
    assert len(refused) == 1


def test_the_rest_of_a_month_that_was_closed_in_part_by_hand(
    office: Office, refused: list[Mapping[str, str]]
) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account)
    middle = datetime(2026, 11, 16, tzinfo=UTC)
    office.go_to(middle)
    office.close(Period(NOVEMBER.start, middle))
    world.call(account)
    office.go_to(NOVEMBER.end + timedelta(seconds=GRACE_S))
    months(office, refused)()
    assert issued(office)[1] == (account, str(Period(middle, NOVEMBER.end)))
    assert refused == []


def test_adjustments_alone_make_an_invoice_of_the_month_that_is_over(
    office: Office, refused: list[Mapping[str, str]]
) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.call(account)
    step = months(office, refused)
    office.go_to(NOVEMBER.end + timedelta(seconds=GRACE_S))
    step()
    world.corrected(request, account, input_tokens=5_000)
    office.go_to(DECEMBER.end + timedelta(seconds=GRACE_S))
    step()
    assert issued(office) == [(account, str(NOVEMBER)), (account, str(DECEMBER))]


def test_what_keeps_everybody_waiting_is_said_and_what_passes_is_left_to_the_worker(
    office: Office, refused: list[Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = office.world.open_account("a")
    office.world.call(account)
    office.go_to(NOVEMBER.end + timedelta(seconds=GRACE_S))
    step = months(office, refused)

    def away() -> dict[str, int]:
        raise ProjectionUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(office.projector, "catch_up", away)
        with pytest.raises(ProjectionUnavailable):
            step()
    reached = office.projector.catch_up()
    with monkeypatch.context() as patched:
        patched.setattr(office.projector, "catch_up", lambda: dict(reached))
        step()
    assert list(refused[0]) == [EVERYBODY]
    assert "have not reached" in refused[0][EVERYBODY]
    office.world.tick(seconds=RETRY_S)
    step()
    assert issued(office) == [(account, str(NOVEMBER))]
