"""The comparison behind the page: one at a time, and it always says how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event

import pytest

from api.web.drift import SHOWN_MAX, Drift, DriftCheck
from domain.clock import FixedClock
from projections.store.port import ProjectionUnavailable

CLOCK = FixedClock(datetime(2026, 11, 23, tzinfo=UTC))
START = "2026-11-23T00:00:00.000000Z"
WAIT_S = 10


class Comparison:
    """Runs until it is let go; counts how often it was begun."""

    def __init__(self, found: Sequence[str] = (), error: Exception | None = None) -> None:
        self.go = Event()
        self.begun = 0
        self._found = found
        self._error = error

    def __call__(self) -> tuple[int, Sequence[str]]:
        self.begun += 1
        assert self.go.wait(WAIT_S)
        if self._error is not None:
            raise self._error
        return 7, self._found


def ended(check: DriftCheck) -> Drift:
    waited = Event()
    for _ in range(WAIT_S * 100):
        last = check.last
        if last is not None and last.ended_at is not None:
            return last
        waited.wait(0.01)
    raise AssertionError("it did not end")


def test_before_the_first_there_is_none() -> None:
    assert DriftCheck(Comparison(), CLOCK).last is None


def test_a_second_start_joins_the_first() -> None:
    comparison = Comparison(["seq 3: lacks a row"])
    check = DriftCheck(comparison, CLOCK)
    check.start()
    assert check.last == Drift(started_at=START)
    check.start()
    comparison.go.set()
    done = ended(check)
    assert done == Drift(
        started_at=START, ended_at=START, events=7, found=1, differences=("seq 3: lacks a row",)
    )
    assert comparison.begun == 1
    check.start()
    ended(check)
    assert comparison.begun == 2


def test_no_more_is_kept_than_is_shown() -> None:
    comparison = Comparison([f"seq {n}" for n in range(100)])
    comparison.go.set()
    check = DriftCheck(comparison, CLOCK)
    check.start()
    assert len(ended(check).differences) == SHOWN_MAX
    assert ended(check).found == 100


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ProjectionUnavailable("the projections are closed"), "the projections are closed"),
        (RuntimeError("secret detail"), "keytoll failed to serve the request."),
    ],
)
def test_one_that_breaks_says_so(error: Exception, words: str) -> None:
    comparison = Comparison(error=error)
    comparison.go.set()
    check = DriftCheck(comparison, CLOCK)
    check.start()
    assert ended(check).problem == words
