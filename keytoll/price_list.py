"""The price list of this installation: which books came into force, and how the next one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import RLock
from typing import Final, cast

from domain.coordination.port import PRICE_LIST, Busy, Held, Locks, held
from domain.errors import UnsafeSetup
from domain.eventlog.follow import Follower
from domain.eventlog.port import Conflict, EventLog
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.price_book import PriceBook as PublishedBook
from domain.repository import Repository
from pricing.book import Books, Entries, PriceBook, UnknownBook
from pricing.installed import Edition, InstalledList
from pricing.load import shipped_lines

WAIT_S: Final = 10.0
"""How long another process may take over an edition of its own."""


class PriceList:
    """The list that the log tells of, and `books`, which opens every book of it.

    Each edition is made behind the one before: by one process at a time, which has taken in what
    the others published. Any thread may call anything.
    """

    def __init__(self, log: EventLog, locks: Locks, shipped: Sequence[bytes]) -> None:
        self._log = log
        self._locks = locks
        self._follower = Follower(log, streams={"price-book"})
        self._installed = InstalledList(shipped)
        self._lock = RLock()
        self._take_news()
        self.books = _Followed(_in_force(self._installed), self.catch_up)

    @classmethod
    def of(cls, log: EventLog, locks: Locks, shipped: Sequence[bytes] | None = None) -> PriceList:
        """What was published, then what the program ships since.

        Raises UnsafeSetup when the program does not have an entry of a published book.
        """
        return cls(log, locks, shipped_lines() if shipped is None else shipped)

    def catch_up(self) -> None:
        """Take in what other processes published.

        Raises UnsafeSetup when a newer program published it: this one goes on with what it has.
        """
        with self._lock:
            if self._take_news():
                self.books.become(_in_force(self._installed))

    def publish(self) -> None:
        """Record that the book in force is so, unless that was recorded before."""
        self.catch_up()
        if self._installed.next() is not None:
            with held(self._locks, PRICE_LIST, wait_s=WAIT_S) as lock:
                self._grow(lock)

    def add(self, lacking: Callable[[PriceBook], Sequence[JsonObject]]) -> Sequence[JsonObject]:
        """What the book in force lacks of the operator's entries comes into force, once it is
        durable; the entries that did. Raises Busy while another process is at it."""
        with held(self._locks, PRICE_LIST, wait_s=WAIT_S) as lock:
            self._grow(lock)
            entries = lacking(self.books.current)
            self._grow(lock, entries)
        return entries

    def _grow(self, lock: Held, entries: Sequence[JsonObject] = ()) -> None:
        """Record the next edition, if there is one, and take it in."""
        self.catch_up()
        edition = self._installed.next(entries)
        if edition is None:
            return
        if not lock.still():
            raise Busy("another process may be publishing prices; nothing was added")
        with suppress(Conflict):  # the very same was recorded by another process
            self._record(edition)
        self.catch_up()

    def _record(self, edition: Edition) -> None:
        book = PublishedBook.publish(
            book_hash=edition.hash,
            rows=edition.rows,
            shipped=edition.shipped,
            entries=edition.entries,
        )
        Repository(self._log).save(book, account_id=None)

    def _take_news(self) -> bool:
        """Whether there was anything."""
        before = len(self._installed.lines)
        for recorded in self._follower.news():
            event = cast(PublishedBook.PriceBookPublished, decode(recorded))
            try:
                self._installed.take(Edition(event.hash, event.rows, event.shipped, event.entries))
            except UnknownBook:
                raise UnsafeSetup(
                    f"calls were rated by the price book {event.hash}, which this program does "
                    "not contain; run the version that does"
                ) from None
        return len(self._installed.lines) > before


class _Followed(Books):
    """Looks into the log for a book that it does not know before it says so."""

    def __init__(self, current: PriceBook, catch_up: Callable[[], None]) -> None:
        super().__init__(current)
        self._catch_up = catch_up

    def open(self, book_hash: str) -> PriceBook:
        try:
            return super().open(book_hash)
        except UnknownBook:
            with suppress(UnsafeSetup):  # of a newer program, and so unknown to this one
                self._catch_up()
            return super().open(book_hash)

    def become(self, book: PriceBook) -> None:
        """This is in force from now on. What was only about to be published may be dropped."""
        if book.hash != self.current.hash:
            self._open = {book.hash: book}
            self.current = book


def _in_force(installed: InstalledList) -> PriceBook:
    """What was published, and what this program ships beyond that: the next edition."""
    return PriceBook(Entries(installed.lines_of(installed.next())))
