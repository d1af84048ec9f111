"""What the cards count is what the usage report counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest

from api.providers.port import FailureClass
from api.routes.usage import UsageRoutes
from api.web.key_cards import REASONS, month_of_use
from api.web.operations import Operations
from tests.api.routes.reports import NOVEMBER, Reports, reports

__all__ = ["reports"]


@pytest.fixture
def operations(reports: Reports) -> Operations:
    usage = UsageRoutes(
        access=reports.access,
        directory=reports.directory,
        log=reports.world.log,
        books=reports.world.books,
        projected=reports.ready,
        clock=reports.world.clock,
    )
    return cast(Operations, SimpleNamespace(usage=usage))


async def test_calls_and_fee_are_those_of_the_report(
    reports: Reports, operations: Operations
) -> None:
    path = f"/api/v1/usage?{NOVEMBER}&group_by=credential"
    rows: list[Any] = (await reports.json("owner", path))["rows"]
    use = month_of_use(operations, reports.account)
    assert use is not None
    assert {key: (each.calls, str(each.fee_usd), each.waiting) for key, each in use.items()} == {
        row["credential"]: (row["requests"], row["fee_usd"] or "0", row["unrated_requests"])
        for row in rows
    }
    assert rows
    assert {each.last_day for each in use.values()} == {"2026-11-03"}


def test_another_account_counts_for_itself(reports: Reports, operations: Operations) -> None:
    mine, other = (month_of_use(operations, each) for each in (reports.account, reports.other))
    assert mine
    assert other
    assert sum(each.calls for each in mine.values()) != sum(each.calls for each in other.values())


def test_nothing_is_known_while_the_projections_are_away(
    reports: Reports, operations: Operations
) -> None:
    reports.open = False
    assert month_of_use(operations, reports.account) is None


def test_every_reason_for_not_knowing_has_words() -> None:
    assert set(get_args(FailureClass)) <= REASONS.keys()
