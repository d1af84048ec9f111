"""The verification behind the page: one at a time, how far it is, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event

import pytest

from api.web.verification import Run, Verification
from domain.clock import FixedClock
from domain.errors import UnsafeSetup
from domain.eventlog.verify import Finding, Report
from projections.store.port import ProjectionStore
from tests.api.routes.reports import Reports
from tests.api.web.papers import SOUND, Papers, words_of

CLOCK = FixedClock(datetime(2026, 11, 23, tzinfo=UTC))
WAIT_S = 10


class Reading:
    """Tells how far it is, and ends when it is let go."""

    def __init__(self, report: Report = SOUND, error: Exception | None = None) -> None:
        self.go, self.told = Event(), Event()
        self.begun = 0
        self._report, self._error = report, error

    def __call__(self, on_page: Callable[[int], None]) -> Report:
        self.begun += 1
        on_page(2)
        self.told.set()
        assert self.go.wait(WAIT_S)
        if self._error is not None:
            raise self._error
        return self._report


def ended(verification: Verification) -> Run:
    waited = Event()
    for _ in range(WAIT_S * 100):
        last = verification.last
        if last is not None and last.ended_at is not None:
            return last
        waited.wait(0.01)
    raise AssertionError("it did not end")


def test_it_tells_how_far_it_is_and_what_it_found() -> None:
    reading = Reading()
    verification = Verification(reading, CLOCK)
    assert verification.start()
    assert reading.told.wait(WAIT_S)
    running = verification.last
    assert running is not None
    assert (running.checked, running.ended_at, running.report) == (2, None, None)
    reading.go.set()
    assert ended(verification).report == SOUND


def test_not_twice_at_once_but_again_afterwards() -> None:
    reading = Reading()
    verification = Verification(reading, CLOCK)
    assert [verification.start(), verification.start()] == [True, False]
    reading.go.set()
    ended(verification)
    assert reading.begun == 1
    verification.start()
    ended(verification)
    assert reading.begun == 2


def test_one_that_comes_to_no_end_says_why() -> None:
    reading = Reading(error=UnsafeSetup("the event log cannot be read"))
    reading.go.set()
    verification = Verification(reading, CLOCK)
    verification.start()
    done = ended(verification)
    assert done.report is None
    assert done.problem


@pytest.fixture
def papers(tables: ProjectionStore) -> Papers:
    return Papers(Reports(tables))


async def test_the_page_tells_the_progress_and_asks_again_until_the_end(papers: Papers) -> None:
    papers.verify = reading = Reading()
    answer = await papers.post("auditor", "/audit/verification", part=True)
    assert 'hx-trigger="every 1s"' in answer.text
    assert reading.told.wait(WAIT_S)
    running = await papers.get("auditor", "/audit/verification", part=True)
    assert "2 of" in words_of(running.text)
    assert "Verify now" not in running.text
    reading.go.set()
    ended(papers.verification)
    done = await papers.get("auditor", "/audit/verification", part=True)
    assert "Everything is what it was. 3 events and 1 checkpoints hold" in words_of(done.text)
    assert "every 1s" not in done.text
    assert "ab" * 32 in done.text


async def test_what_is_wrong_is_listed(papers: Papers) -> None:
    finding = Finding(
        "changed-bytes", "store-1", 2, "the bytes of seq 2 <b>do not</b> have its hash"
    )
    papers.verify = lambda _: replace(SOUND, findings=(finding,), findings_total=201)
    papers.verification.start()
    ended(papers.verification)
    page = await papers.get("operator", "/audit/proof")
    assert "201 findings. The log is not what it was." in words_of(page.text)
    assert "&lt;b&gt;do not&lt;/b&gt; have its hash" in page.text
    assert "Everything is what it was" not in page.text
