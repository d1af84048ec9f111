"""The price list of this installation: which books came into force, and how the next one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Self, cast

from domain.errors import UnsafeSetup
from domain.eventlog.history import history
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.price_book import PriceBook as PublishedBook
from domain.repository import Repository
from pricing.book import Books, Entries, PriceBook, UnknownBook
from pricing.installed import Edition, InstalledList
from pricing.load import shipped_lines


class PriceList:
    """The list that the log tells of, and `books`, which opens every book of it."""

    def __init__(self, log: EventLog, installed: InstalledList) -> None:
        self._log = log
        self._installed = installed
        self._lock = RLock()
        self._unpublished = installed.next()
        if self._unpublished is not None:
            installed.take(self._unpublished)
        self.books = Books(_book(installed))

    @classmethod
    def of(cls, log: EventLog, shipped: Sequence[bytes] | None = None) -> Self:
        """What was published, then what the program ships since.

        Raises UnsafeSetup when the program does not have an entry of a published book.
        """
        installed = InstalledList(shipped_lines() if shipped is None else shipped)
        for recorded in history(log, streams={"price-book"}):
            event = cast(PublishedBook.PriceBookPublished, decode(recorded))
            try:
                installed.take(Edition(event.hash, event.rows, event.shipped, event.entries))
            except UnknownBook:
                raise UnsafeSetup(
                    f"calls were rated by the price book {event.hash}, which this program does "
                    "not contain; run the version that does"
                ) from None
        return cls(log, installed)

    def publish(self) -> None:
        """Record that the book in force is so, unless that was recorded before."""
        with self._lock:
            if self._unpublished is not None:
                self._record(self._unpublished)
                self._unpublished = None

    def add(self, lacking: Callable[[PriceBook], Sequence[JsonObject]]) -> Sequence[JsonObject]:
        """What the book in force lacks of the operator's entries comes into force, once it is
        durable; the entries that did."""
        with self._lock:
            self.publish()
            entries = lacking(self.books.current)
            edition = self._installed.next(entries)
            if edition is not None:
                self._record(edition)
                self._installed.take(edition)
                self.books.adopt(_book(self._installed))
        return entries

    def _record(self, edition: Edition) -> None:
        book = PublishedBook.publish(
            book_hash=edition.hash,
            rows=edition.rows,
            shipped=edition.shipped,
            entries=edition.entries,
        )
        Repository(self._log).save(book, account_id=None)


def _book(installed: InstalledList) -> PriceBook:
    return PriceBook(Entries(installed.lines))
