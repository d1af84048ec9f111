"""The price books that were ever in force, named by their hash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from eventsourcing.domain import Aggregate, event

from domain.errors import BadValue
from domain.events.base import JsonObject, Unstamped
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
        """Calls are priced with the first `rows` entries of the price list from now on."""

        TOPIC = "price-book.published"
        class_version: ClassVar[int] = 2
        hash: str
        rows: int
        shipped: int
        """How many of them the program ships; newly shipped ones come before `entries`."""
        entries: list[JsonObject]
        """What the operator added: its last entries, as `export prices` writes them."""

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            # Under version 1 a book had no entries but the program's own.
            state["shipped"] = state["rows"]
            state["entries"] = []

    @staticmethod
    def create_id(hash: str, **_fields: object) -> UUID:  # noqa: A002 - the event's field
        return price_book_stream(hash)

    @event(PriceBookPublished)
    def __init__(
        self,
        hash: str,  # noqa: A002 - the event's field
        rows: int,
        shipped: int,
        entries: list[JsonObject],
    ) -> None:
        self.hash = hash
        self.rows = rows
        self.shipped = shipped
        self.entries = entries

    @classmethod
    def publish(
        cls, *, book_hash: str, rows: int, shipped: int, entries: Sequence[JsonObject]
    ) -> PriceBook:
        """A book comes into force."""
        if not _HASH.fullmatch(book_hash) or rows < 1:
            raise BadValue("a price book is named sha256:<64 hex digits> and has rows")
        if not 0 <= shipped <= rows - len(entries):
            raise BadValue("a price book has what the program ships, and what was added")
        return cls(hash=book_hash, rows=rows, shipped=shipped, entries=list(entries))
