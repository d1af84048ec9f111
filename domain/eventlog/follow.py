"""What was recorded since the last look: for what is kept in memory and follows the log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from domain.eventlog.port import EventLog, LogReader, Recorded, stores_of

_PAGE: Final = 1_000


class Follower:
    """Reads on from where it stopped. One thread at a time."""

    def __init__(self, log: EventLog, *, streams: Collection[str]) -> None:
        """`streams` is that of `LogReader.read`."""
        self._streams = streams
        # By chain, and from its oldest store on: what a store continues came before it.
        self._stores = stores_of(log)
        self._positions: dict[str, int] = {}

    def news(self) -> Iterator[Recorded]:
        """The events up to the present end. One whose taker fails is given again."""
        for store in self._stores:
            yield from self._of(store)

    def _of(self, store: LogReader) -> Iterator[Recorded]:
        head, at = store.head(), store.store_id
        while self._positions.get(at, 0) < head:
            page = store.read(after=self._positions.get(at, 0), limit=_PAGE, streams=self._streams)
            for recorded in page:
                yield recorded
                self._positions[at] = recorded.seq
            if len(page) < _PAGE:
                # The rest up to `head` is of other streams: never scan it again.
                self._positions[at] = max(self._positions.get(at, 0), head)
