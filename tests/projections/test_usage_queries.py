"""Questions behind the usage pages, against the answers that the plain way gives."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.ids import derived_id, public_id
from projections.projector import Projector
from projections.queries.filters import Filters
from projections.queries.latency import NONE, Latency, latency
from projections.queries.one_request import attempts
from projections.queries.requests import RequestsQuestion, request_list
from projections.queries.usage import GROUPS, UsageQuestion, regrouped, usage_report
from projections.store.port import ProjectionStore
from tests.projections.world import START, World

END = START + timedelta(days=30)


@pytest.fixture
def world() -> World:
    return World()


def projected(world: World, tables: ProjectionStore) -> dict[str, int]:
    projector = Projector(log=world.log, store=tables, books=world.books)
    projector.catch_up()
    return projector.reached()


def mixed(world: World) -> str:
    """Calls of every fate over some days; the account."""
    account = world.open_account("a")
    for day in range(3):
        world.call(account, tags={"team": "red"} if day else {})
        world.call(account, provider="anthropic", model="claude-x")
        world.call(account, model="new-x")
        world.failed(world.routed(account), account, "process_lost")
        world.estimated(world.routed(account), account, input_tokens=7, output_tokens=9)
        world.tick(hours=23)
    world.corrected(world.call(account), account, input_tokens=1, output_tokens=2)
    world.rerated(world.call(account, model="new-x"), account)
    return account


@pytest.mark.parametrize("group", [*sorted(set(GROUPS) - {"hour", "month"}), "tag:team"])
def test_regrouped_rows_are_those_of_a_question_of_its_own(
    world: World, tables: ProjectionStore, group: str
) -> None:
    mixed(world)
    as_of = projected(world, tables)

    def ask(*groups: str) -> dict[str, object]:
        question = UsageQuestion(start=START, end=END, group_by=groups)
        return usage_report(tables, question, as_of=as_of)

    by_hour = ask("hour", group)
    assert regrouped(by_hour, group) == ask(group)["rows"]
    assert by_hour["totals"] == ask(group)["totals"]


def test_hours_are_those_of_utc(world: World, tables: ProjectionStore) -> None:
    world.tick(minutes=59, seconds=59)
    account = world.open_account("a")
    world.call(account)
    world.tick()
    world.call(account)
    question = UsageQuestion(start=START, end=END, group_by=("hour",))
    rows = usage_report(tables, question, as_of=projected(world, tables))["rows"]
    assert [row["hour"] for row in rows] == ["2026-11-01T00:00Z", "2026-11-01T01:00Z"]


def took(world: World, account: str, ms: int) -> None:
    request = world.routed(account)
    report = world.report(request, input_tokens=1, output_tokens=1)
    object.__setattr__(report, "total_ms", ms)
    world.append(report, account=account)


def test_percentiles_are_times_that_were_measured(world: World, tables: ProjectionStore) -> None:
    account = world.open_account("a")
    for ms in (10, 20, 30, 40, 1000):
        took(world, account, ms)
    world.tick(days=1)
    took(world, account, 7)
    world.failed(world.routed(account), account)
    question = UsageQuestion(start=START, end=END, filters=Filters(account=account))
    whole, days = latency(tables, question, as_of=projected(world, tables), span="day")
    # Ranks of 6 times: 7 10 20 30 40 1000.
    assert (whole.p50_ms, whole.p95_ms) in {(20, 1000), (30, 1000)}
    assert days == {
        "2026-11-01": Latency(30, 1000, None, None),
        "2026-11-02": Latency(7, 7, None, None),
    }
    nobody = UsageQuestion(start=START, end=END, filters=Filters(account="acc_" + "0" * 32))
    assert latency(tables, nobody, as_of={"store-1": 99}, span="day") == (NONE, {})


def test_a_filter_speaks_of_what_a_request_is_now(world: World, tables: ProjectionStore) -> None:
    account = world.open_account("a")
    requests = []
    for _ in range(7):
        requests.append(world.call(account, model="new-x"))
        world.tick()
    for request in requests[:6]:
        world.rerated(request, account)
    as_of = projected(world, tables)
    newest_first = [public_id("req", request) for request in reversed(requests)]

    def pages(status: str) -> list[str]:
        found: list[str] = []
        after = None
        while True:
            question = RequestsQuestion(
                start=START, end=END, filters=Filters(status=status), after=after, limit=2
            )
            page = request_list(tables, question, as_of=as_of)
            found.extend(each["request_id"] for each in page["requests"])
            after = page["next"]
            if after is None:
                return found

    assert pages("unrated") == newest_first[:1]
    assert pages("priced") == newest_first[1:]


def test_a_tag_is_a_name_and_a_value(world: World, tables: ProjectionStore) -> None:
    account = world.open_account("a")
    red = world.call(account, tags={"team": "red"})
    world.call(account, tags={"team": "blue", "color": "red"})
    world.call(account)
    question = RequestsQuestion(start=START, end=END, filters=Filters(tag=("team", "red")))
    listed = request_list(tables, question, as_of=projected(world, tables))["requests"]
    assert [each["request_id"] for each in listed] == [public_id("req", red)]


def test_attempts_of_a_call_are_found_from_its_first(world: World, tables: ProjectionStore) -> None:
    account, other = world.open_account("a"), world.open_account("b")
    first = world.routed(account)
    world.failed(first, account, "overloaded")
    world.tick()
    second = world.call(
        account, provider="anthropic", model="claude-x", attempt_of=public_id("req", first)
    )
    world.corrected(second, account, input_tokens=1, output_tokens=1)
    world.call(other, attempt_of=public_id("req", first))
    projected(world, tables)
    found = attempts(tables, account, first)
    assert [(each.request_id, each.state, each.failure) for each in found] == [
        (public_id("req", first), "failed", "overloaded"),
        (public_id("req", second), "settled", ""),
    ]
    assert attempts(tables, account, derived_id("nobody")) == []
