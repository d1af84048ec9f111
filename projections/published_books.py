"""Which price books came into force, and what the operator put into each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import cast

from domain.eventlog.follow import Follower
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.price_book import PriceBook


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedBook:
    """One book, as the log tells of it."""

    hash: str
    rows: int
    published_at: str
    entries: Sequence[JsonObject]
    """The operator's own that it brought."""


class PublishedBooks:
    """Follows the log. Any thread may call."""

    def __init__(self, log: EventLog) -> None:
        self._lock = Lock()
        self._follower = Follower(log, streams={"price-book"})
        self._books: list[PublishedBook] = []

    def all(self) -> Sequence[PublishedBook]:
        """In the order in which they came into force, up to now. Raises StoreUnavailable."""
        with self._lock:
            for recorded in self._follower.news():
                event = cast(PriceBook.PriceBookPublished, decode(recorded))
                self._books.append(
                    PublishedBook(
                        hash=event.hash,
                        rows=event.rows,
                        published_at=recorded.recorded_at,
                        entries=event.entries,
                    )
                )
            return tuple(self._books)
