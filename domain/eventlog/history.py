"""All that was ever recorded: every store of the log, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from domain.eventlog.port import EventLog, LogReader, Recorded, stores_of

_PAGE: Final = 2_000


def history(
    log: EventLog,
    *,
    streams: Collection[str] | None = None,
    until: Mapping[str, int] | None = None,
) -> Iterator[Recorded]:
    """Every event by chain, store (oldest first) and seq, up to where the log ends now.

    `streams` is that of `read`. `until` (store id → seq) ends each store there; a store that it
    does not name is left out.
    """
    ends = ends_of(log, until=until)
    return _pages(log, streams, ends)


def ends_of(log: EventLog, *, until: Mapping[str, int] | None = None) -> dict[str, int]:
    """Store id → last seq, of every store."""
    ends: dict[str, int] = {}
    for store in stores_of(log):
        head = store.head()
        ends[store.store_id] = head if until is None else min(head, until.get(store.store_id, 0))
    return ends


def _pages(
    log: EventLog, streams: Collection[str] | None, ends: Mapping[str, int]
) -> Iterator[Recorded]:
    for store in stores_of(log):
        yield from _of_store(store, streams, ends.get(store.store_id, 0))


def _of_store(store: LogReader, streams: Collection[str] | None, end: int) -> Iterator[Recorded]:
    after = 0
    while after < end:
        page = store.read(after=after, limit=min(_PAGE, end - after), streams=streams)
        for row in page:
            if row.seq > end:
                return
            yield row
        if not page:
            return
        after = page[-1].seq
