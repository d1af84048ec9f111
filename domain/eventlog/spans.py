"""Several stores in one database: each is a span of positions, and the last one is written.

`position` counts through the whole database; the seq of a line is its position minus the `base` of
its store. Restoring a backup begins a new store behind the old one, whose lines stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

from domain.eventlog.lines import StoreFailure
from domain.eventlog.port import Recorded, StoreUnavailable

NO_END: Final = 2**62
"""The `end` of the store that is written."""

T = TypeVar("T")


class Span(NamedTuple):
    """Where a store lies: positions past `base` up to `end`."""

    store_id: str
    base: int
    end: int


def spans_of(rows: Sequence[tuple[str, int]]) -> list[Span]:
    """From (store id, base) of each store, the oldest first."""
    ends = [base for _, base in rows[1:]] + [NO_END]
    return [Span(store_id, base, end) for (store_id, base), end in zip(rows, ends, strict=False)]


class SpanReader(Protocol):
    """A database of stores. Raises StoreFailure when it cannot read."""

    def read_span(
        self, span: Span, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        """`LogReader.read` of any store in it."""

    def stream(self, originator_id: UUID) -> Sequence[Recorded]: ...


class EarlierStore:
    """A store of the same database that is written no more."""

    def __init__(self, database: SpanReader, span: Span) -> None:
        self._database = database
        self._span = span

    @property
    def store_id(self) -> str:
        return self._span.store_id

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        if streams is not None and not streams:
            return []
        return available(
            lambda: self._database.read_span(self._span, after=after, limit=limit, streams=streams)
        )

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        return available(lambda: self._database.stream(originator_id))

    def head(self) -> int:
        return self._span.end - self._span.base


def available(read: Callable[[], T]) -> T:
    """What `read` gives. Raises StoreUnavailable where the database fails."""
    try:
        return read()
    except StoreFailure as error:
        raise StoreUnavailable(f"the event log cannot be read: {error}") from error
