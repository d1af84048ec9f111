"""The price list of one installation: what its program ships, and what its operator has added.

Both come into one append-only list, in the order in which they came into force, so that every book
ever published is a prefix of what `export prices` writes. Entries that are not where the program
ships them are numbered anew. What came when is in the log (`price-book.published`): shipped entries
as a number, the operator's own in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import orjson

from domain.events.base import JsonObject
from domain.events.codec import canonical
from pricing.book import UnknownBook


class Edition(NamedTuple):
    """A book that came into force: how the list grew to it."""

    hash: str
    rows: int
    shipped: int
    """How many of the program's own entries are in it."""
    entries: Sequence[JsonObject]
    """The operator's entries at its end, as they stand in the list."""


class InstalledList:
    """The list so far. Editions are taken in the order in which they were published."""

    def __init__(self, shipped: Sequence[bytes]) -> None:
        self._shipped = shipped
        self._taken = 0
        self._digest = hashlib.sha256()
        self.lines: Final[list[bytes]] = []

    def take(self, edition: Edition) -> None:
        """Grow to an edition. Raises UnknownBook when it is not what this program makes of it."""
        lines = self._grown(edition.shipped, edition.entries)
        digest = self._with(lines)
        whole = len(self.lines) + len(lines) == edition.rows
        if not whole or f"sha256:{digest.hexdigest()}" != edition.hash:
            raise UnknownBook(f"no price book {edition.hash[:80]} is in this program")
        self.lines.extend(lines)
        self._digest, self._taken = digest, edition.shipped

    def next(self, entries: Iterable[JsonObject] = ()) -> Edition | None:
        """What comes into force next: newly shipped entries, then these; None when nothing new."""
        start = len(self.lines) + len(self._shipped) - self._taken
        added = [{**entry, "n": n} for n, entry in enumerate(entries, start + 1)]
        lines = self._grown(len(self._shipped), added)
        if not lines:
            return None
        return Edition(
            hash=f"sha256:{self._with(lines).hexdigest()}",
            rows=len(self.lines) + len(lines),
            shipped=len(self._shipped),
            entries=added,
        )

    def lines_of(self, edition: Edition | None) -> list[bytes]:
        """The list as it will be with this edition; None: as it is."""
        grown = [] if edition is None else self._grown(edition.shipped, edition.entries)
        return [*self.lines, *grown]

    def _grown(self, shipped: int, entries: Iterable[JsonObject]) -> list[bytes]:
        lines: list[bytes] = []
        for n, line in enumerate(self._shipped[self._taken : shipped], len(self.lines) + 1):
            entry = orjson.loads(line)
            lines.append(line if entry["n"] == n else canonical({**entry, "n": n}))
        return [*lines, *map(canonical, entries)]

    def _with(self, lines: Iterable[bytes]) -> hashlib._Hash:
        digest = self._digest.copy()
        for line in lines:
            digest.update(line + b"\n")
        return digest
