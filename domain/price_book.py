"""The price books that were ever in force, named by their hash."""

from __future__ import annotations

import re
from typing import ClassVar, Final
from uuid import UUID

from eventsourcing.domain import Aggregate, event

from domain.errors import BadValue
from domain.events.base import Unstamped
from domain.ids import derived_id

_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


def price_book_stream(book_hash: str) -> UUID:
    """The stream of one book: derived, so that publishing it twice is recognised."""
    return derived_id("price-book", book_hash)


class PriceBook(Aggregate):
    """One published book: the first `rows` lines of all entries, and the hash of those bytes.

    Each book has a stream of its own with a single event.
    """

    TOPIC = "price-book"

    class Event(Unstamped, Aggregate.Event):
        TOPIC: ClassVar[str] = "price-book.event"

    class PriceBookPublished(Event, Aggregate.Created):
        TOPIC = "price-book.published"
        hash: str
        rows: int

    @staticmethod
    def create_id(hash: str) -> UUID:  # noqa: A002 - the name of the event's field
        return price_book_stream(hash)

    @event(PriceBookPublished)
    def __init__(self, hash: str, rows: int) -> None:  # noqa: A002 - the event's field
        self.hash = hash
        self.rows = rows

    @classmethod
    def publish(cls, *, book_hash: str, rows: int) -> PriceBook:
        """A book comes into force."""
        if not _HASH.fullmatch(book_hash) or rows < 1:
            raise BadValue("a price book is named sha256:<64 hex digits> and has rows")
        return cls(hash=book_hash, rows=rows)
