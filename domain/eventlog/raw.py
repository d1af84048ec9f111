"""Verifying a log wherever it lies: in a file, in a database, in several databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import chain
from pathlib import Path

from domain.eventlog import sqlite_file
from domain.eventlog.checkpoint import Checkpoint
from domain.eventlog.verify import FINDINGS_MAX, RawLog, Report, verify

Place = Path | str
"""A file, or the DSN of a Postgres database."""


def open_raw(place: Place) -> AbstractContextManager[RawLog]:
    """One unchanging view of a log, nothing checked. Raises UnsafeSetup if it cannot be read."""
    if isinstance(place, Path):
        return sqlite_file.open_raw(place)
    # Only here: the embedded mode does without the driver.
    from domain.eventlog.postgres_raw import open_postgres_raw  # noqa: PLC0415

    return open_postgres_raw(place)


def verify_stored(
    *places: Place,
    checkpoints: Sequence[Checkpoint] = (),
    on_page: Callable[[int], None] | None = None,
) -> Report:
    """Verify the whole log of an installation as of now; it may be in use. Raises UnsafeSetup.

    `on_page` is told now and then how many lines were checked.
    """
    with ExitStack() as opened:
        logs = [opened.enter_context(open_raw(place)) for place in places]
        held = [{store.store_id for store in log.stores()} for log in logs]
        # A checkpoint of a store that is nowhere is for the first log to complain of.
        held[0] |= {each.store_id for each in checkpoints} - set().union(*held)
        reports: list[Report] = []
        for log, stores in zip(logs, held, strict=True):
            before = sum(report.events for report in reports)
            own = [each for each in checkpoints if each.store_id in stores]
            reports.append(verify(log, checkpoints=own, on_page=_counting_on(on_page, before)))
    return Report(
        events=sum(report.events for report in reports),
        stores=tuple(chain.from_iterable(report.stores for report in reports)),
        open_requests=sum(report.open_requests for report in reports),
        checkpoints=len(checkpoints),
        findings=tuple(chain.from_iterable(each.findings for each in reports))[:FINDINGS_MAX],
        findings_total=sum(report.findings_total for report in reports),
    )


def _counting_on(
    on_page: Callable[[int], None] | None, before: int
) -> Callable[[int], None] | None:
    return None if on_page is None else lambda count: on_page(before + count)
