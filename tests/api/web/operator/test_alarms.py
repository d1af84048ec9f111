"""What the overview says that an operator should look after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import pytest

from api.web.operator.overview import LAG_WARN, WORKERS, alarms
from projections.queries.health import Health
from projections.standing import Standing


@dataclass(frozen=True)
class Working:
    name: str = "project"
    status: str = "running"
    error: str | None = None
    steps: int = 1


ESTIMATED: Final = "/usage?period=today&by=usage_source"
WELL: Final = Health(requests=100, estimated=5, unrated=0, lost=0, dead_letters=0, conflicts=0)
FINE: Final = Standing(
    store_id="st_1",
    events=20_000,
    projected=20_000 - LAG_WARN,
    open_requests=3,
    health=WELL,
    newest_closed_period_end=None,
    price_book="sha256:0",
)


def test_nothing_is_said_of_what_is_as_it_should_be() -> None:
    assert alarms(FINE, [Working()]) == []


@pytest.mark.parametrize(
    ("found", "tone", "words", "path"),
    [
        (replace(WELL, dead_letters=1), "bad", "1 event could not", "/operator/dead-letters"),
        (replace(WELL, dead_letters=2_000), "bad", "2,000 events could", "/operator/dead-letters"),
        (replace(WELL, conflicts=1), "bad", "1 event came twice", "/operator/dead-letters"),
        (replace(WELL, unrated=2), "warn", "2 calls without a price", "/operator/unrated"),
        (
            replace(WELL, estimated=6),
            "warn",
            "one call in twenty",
            "/usage?period=today&by=usage_source",
        ),
    ],
)
def test_each_trouble_is_said_with_the_way_to_it(
    found: Health, tone: str, words: str, path: str
) -> None:
    (alarm,) = alarms(replace(FINE, health=found), [Working()])
    assert (alarm.tone, alarm.path) == (tone, path)
    assert words in alarm.words


def test_tables_that_fall_behind_are_said() -> None:
    (alarm,) = alarms(replace(FINE, events=FINE.events + 1), [])
    assert (alarm.tone, "10,001 events behind" in alarm.words) == ("warn", True)


def test_tables_that_are_not_open_are_said_once() -> None:
    (alarm,) = alarms(replace(FINE, health=None, projected=None), [])
    assert "not open" in alarm.words


def test_the_worst_comes_first() -> None:
    found = replace(FINE, health=replace(WELL, unrated=1))
    said = alarms(found, [Working("seal", "retrying", "OSError: full"), Working(status="failed")])
    assert [alarm.tone for alarm in said] == ["bad", "warn", "warn"]
    assert WORKERS["project"] in said[0].words
    assert "OSError: full" in said[1].words
