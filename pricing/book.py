"""The price book: an append-only list of entries. A book is a prefix of it, named by its hash.

A later entry never changes an earlier book, so every call can be rated for ever as it was rated
on the day. Nothing here reads a file or a clock; `load.py` brings the entries that we ship.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson

from domain.clock import instant_text, parse_instant
from domain.errors import BadValue, DomainError
from domain.events.base import JsonObject
from pricing.row import STANDARD, Conditions, Row, row_of, text_field, told_text

KINDS: Final = ("row", "name", "seen", "deprecated")
FIELDS: Final = {
    "name": ("provider", "model", "canonical"),
    "seen": ("row", "at"),
    "deprecated": ("row", "at"),
}
"""The fields of every entry that is no row: all of them, and all are text."""
_PRICED_AS: Final = {"openai-responses": "openai", "azure-responses": "azure"}
"""Other dialects of a provider that is priced once."""

FITTING_MAX: Final = 10_000
"""Answers kept of which rows fit a call; the conditions come from outside, so there is a limit."""
_FULL_INSTANT: Final = len("2026-11-23T00:00:00.000000Z")

Key = Callable[[str], str]


class UnknownBook(DomainError):
    """No book of this hash is in this program: it is newer, or not ours."""


def best_first(rows: Iterable[Row], conditions: Conditions) -> tuple[Row, ...]:
    """The rows whose conditions a call meets: most conditions first, then the latest entry."""
    met = (row for row in rows if row.conditions.met_by(conditions))
    return tuple(sorted(met, key=lambda row: (-row.conditions.stated, -row.n)))


def price_provider(slug: str) -> str:
    """The provider whose rows a slug is priced by."""
    return _PRICED_AS.get(slug, slug)


class Entries:
    """All entries this program knows, in their order, indexed. Immutable once built."""

    def __init__(self, lines: Sequence[bytes], *, key: Key | None = None) -> None:
        """Index the lines. Raises BadValue when they are not entries 1, 2, 3, …

        `key` names models that no `name` entry names; shipped books do without, so that the
        entries alone say what resolves.
        """
        self.lines: Final = tuple(lines)
        self.key: Final = key
        self.rows: Final[dict[tuple[str, str], list[tuple[int, JsonObject]]]] = {}
        self.by_canonical: Final[dict[str, list[tuple[int, tuple[str, str]]]]] = {}
        self.names: Final[dict[tuple[str, str], list[tuple[int, str]]]] = {}
        self.seen: Final[dict[str, list[tuple[int, str]]]] = {}
        self.deprecated: Final[dict[str, list[tuple[int, str]]]] = {}
        self._parsed: Final[dict[tuple[str, str], tuple[Row, ...]]] = {}
        self._newest: Final[list[tuple[int, str]]] = []
        self._hashes: dict[str, int] | None = None
        for n, line in enumerate(self.lines, 1):
            self._add(n, orjson.loads(line))

    def parsed(self, model: tuple[str, str]) -> tuple[Row, ...]:
        """All rows of one model, in the order of the book; each is read once."""
        rows = self._parsed.get(model)
        if rows is None:
            rows = tuple(row_of(n, self._named(data)) for n, data in self.rows.get(model, ()))
            self._parsed[model] = rows
        return rows

    def newest(self, size: int) -> datetime | None:
        """When anything in the first `size` entries was last recorded or seen."""
        found = bisect_right(self._newest, size, key=lambda pair: pair[0])
        return parse_instant(self._newest[found - 1][1]) if found else None

    def hash_of(self, size: int) -> str:
        """The hash of the book of the first `size` entries."""
        digest = hashlib.sha256()
        for line in self.lines[:size]:
            digest.update(line + b"\n")
        return f"sha256:{digest.hexdigest()}"

    def size_of(self, book_hash: str) -> int:
        """How many entries the book of that hash has. Raises UnknownBook."""
        if self._hashes is None:
            hashes: dict[str, int] = {}
            digest = hashlib.sha256()
            hashes[f"sha256:{digest.hexdigest()}"] = 0
            for n, line in enumerate(self.lines, 1):
                digest.update(line + b"\n")
                hashes[f"sha256:{digest.hexdigest()}"] = n
            self._hashes = hashes
        try:
            return self._hashes[book_hash]
        except KeyError:
            raise UnknownBook(f"no price book {book_hash[:80]} is in this program") from None

    def _named(self, data: JsonObject) -> JsonObject:
        if "canonical" in data or self.key is None:
            return data
        return {**data, "canonical": self.key(data["model"])}

    def _add(self, n: int, entry: JsonObject) -> None:
        kind = next((kind for kind in KINDS if isinstance(entry.get(kind), dict)), None)
        if kind is None or entry.get("n", n) != n:
            raise BadValue(f"entry {n} of the price book is not entry {n}", param="price_book")
        if kind == "row":
            self._add_row(n, entry[kind])
            return
        *about, said = (text_field(entry[kind], name) for name in FIELDS[kind])
        if kind == "name":
            provider, model = about
            self.names.setdefault((provider, model), []).append((n, said))
        elif kind == "seen":
            self.seen.setdefault(about[0], []).append((n, said))
            self._date(n, said)
        else:
            # An announced end lies ahead; it must not make every other price look old.
            self.deprecated.setdefault(about[0], []).append((n, said))

    def _add_row(self, n: int, data: JsonObject) -> None:
        model = text_field(data, "provider"), text_field(data, "model")
        self.rows.setdefault(model, []).append((n, data))
        canonical = told_text(self._named(data), "canonical") or model[1]
        self.by_canonical.setdefault(canonical, []).append((n, model))
        recorded_at = told_text(data, "recorded_at")
        if recorded_at:
            self._date(n, recorded_at)

    def _date(self, n: int, at: str) -> None:
        # Instants of shipped entries are written in full and in UTC, and so sort as text.
        if len(at) != _FULL_INSTANT or not at.endswith("Z"):
            at = instant_text(parse_instant(at, param="price_book"))
        if not self._newest or at > self._newest[-1][1]:
            self._newest.append((n, at))


class PriceBook:
    """The first `rows` entries."""

    def __init__(self, entries: Entries, rows: int | None = None) -> None:
        self._entries = entries
        self.rows: Final = len(entries.lines) if rows is None else rows
        if not 0 <= self.rows <= len(entries.lines):
            raise UnknownBook(f"this program has no price book of {self.rows} entries")
        self.hash: Final = entries.hash_of(self.rows)
        self.newest: Final = entries.newest(self.rows)
        """The instant of the newest entry: what freshness is measured from."""
        self._exact: dict[tuple[str, str], tuple[Row, ...]] = {}
        self._keyed: dict[str, tuple[Row, ...]] = {}
        self._standard: dict[str, tuple[Row, ...]] = {}
        self._seen: dict[int, datetime | None] = {}
        self._fitting: dict[tuple[str, str, Conditions], tuple[Row, ...]] = {}

    def __repr__(self) -> str:
        return f"PriceBook({self.hash}, rows={self.rows})"

    def lines(self) -> Sequence[bytes]:
        """The exact lines of the book, without line feeds: what `export prices` writes."""
        return self._entries.lines[: self.rows]

    def prefix(self, rows: int) -> PriceBook:
        """The book of the first `rows` entries. Raises UnknownBook when there are not as many."""
        return PriceBook(self._entries, rows)

    def open_book(self, book_hash: str) -> PriceBook:
        """An earlier (or this) book. Raises UnknownBook."""
        return self if book_hash == self.hash else self.prefix(self._entries.size_of(book_hash))

    def rows_of(self, provider: str, model: str) -> tuple[Row, ...]:
        """Rows of exactly this id, in the order of the book."""
        key = (price_provider(provider), model)
        rows = self._exact.get(key)
        if rows is None:
            if key not in self._entries.rows:
                return ()
            rows = tuple(row for row in self._entries.parsed(key) if row.n <= self.rows)
            self._exact[key] = rows
        return rows

    def fitting(self, provider: str, model: str, conditions: Conditions) -> tuple[Row, ...]:
        """Rows of exactly this id whose conditions are met: most conditions, then latest, first."""
        key = (provider, model, conditions)
        rows = self._fitting.get(key)
        if rows is None:
            rows = best_first(self.rows_of(provider, model), conditions)
            if len(self._fitting) < FITTING_MAX:
                self._fitting[key] = rows
        return rows

    def rows_of_key(self, canonical: str) -> tuple[Row, ...]:
        """Rows of all providers whose model bears this canonical name."""
        rows = self._keyed.get(canonical)
        if rows is None:
            models = {model for n, model in self._entries.by_canonical.get(canonical, ())}
            found = (row for model in sorted(models) for row in self._entries.parsed(model))
            rows = tuple(row for row in found if row.canonical == canonical and row.n <= self.rows)
            if rows:
                self._keyed[canonical] = rows
        return rows

    def standard_rows_of_key(self, canonical: str) -> tuple[Row, ...]:
        """Those without conditions, by provider and model; of one model the latest entry last."""
        rows = self._standard.get(canonical)
        if rows is None:
            found = [row for row in self.rows_of_key(canonical) if row.conditions == STANDARD]
            rows = tuple(sorted(found, key=lambda row: (row.provider, row.model, row.n)))
            if rows:
                self._standard[canonical] = rows
        return rows

    def canonical(self, provider: str, model: str) -> str | None:
        """The canonical name of an id, or None when this book does not know it."""
        provider = price_provider(provider)
        for n, canonical in reversed(self._entries.names.get((provider, model), ())):
            if n <= self.rows:
                return canonical
        rows = self.rows_of(provider, model)
        if rows:
            return rows[-1].canonical
        return self._entries.key(model) if self._entries.key else None

    def providers(self) -> tuple[str, ...]:
        """Every provider that has rows, ascending."""
        found = {p for (p, _), rows in self._entries.rows.items() if rows[0][0] <= self.rows}
        return tuple(sorted(found))

    def models(self, provider: str) -> tuple[str, ...]:
        """Every id that has rows at the provider, ascending."""
        owner = price_provider(provider)
        ids = {
            m
            for (p, m), rows in self._entries.rows.items()
            if p == owner and rows[0][0] <= self.rows
        }
        return tuple(sorted(ids))

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Provider, ascending → how many models have rows there, and how many rows that is."""
        found: dict[str, tuple[int, int]] = {}
        for (provider, _), rows in sorted(self._entries.rows.items()):
            held = bisect_right(rows, self.rows, key=lambda row: row[0])
            if held:
                models, entries = found.get(provider, (0, 0))
                found[provider] = models + 1, entries + held
        return found

    def told(self, row: Row) -> JsonObject:
        """The row as it stands in the book."""
        entry: JsonObject = orjson.loads(self._entries.lines[row.n - 1])
        told: JsonObject = entry["row"]
        return told

    def last_seen(self, row: Row) -> datetime | None:
        """When the price was last observed at its source (when it was recorded, if never since)."""
        if row.n not in self._seen:
            marks = self._entries.seen.get(row.id, ())
            seen = [parse_instant(at) for n, at in marks if n <= self.rows]
            self._seen[row.n] = max(seen, default=row.recorded_at)
        return self._seen[row.n]

    def deprecated(self, row: Row, at: datetime) -> bool:
        """Whether the provider has announced the end of this row by the instant."""
        marks: Iterable[tuple[int, str]] = self._entries.deprecated.get(row.id, ())
        return any(n <= self.rows and parse_instant(since) <= at for n, since in marks)


class Books:
    """Opens books by hash and keeps them: one per program, shared by threads."""

    def __init__(self, current: PriceBook) -> None:
        self.current = current
        """The book in force."""
        self._open = {current.hash: current}

    def adopt(self, book: PriceBook) -> None:
        """A longer book is in force from now on. Raises UnknownBook if it is not longer."""
        book.open_book(self.current.hash)
        self._open = {book.hash: book}
        self.current = book

    def open(self, book_hash: str) -> PriceBook:
        """The book of that hash. Raises UnknownBook."""
        book = self._open.get(book_hash)
        if book is None:
            book = self.current.open_book(book_hash)
            self._open[book_hash] = book
        return book


def book_of(entries: Sequence[Mapping[str, object]], *, key: Key | None = None) -> PriceBook:
    """A book of bare rows or entries, for tests and for `keytoll rate` with rows of its own."""
    lines = []
    for n, entry in enumerate(entries, 1):
        whole = any(isinstance(entry.get(kind), dict) for kind in KINDS)
        numbered = {**entry, "n": n} if whole else {"n": n, "row": dict(entry)}
        lines.append(orjson.dumps(numbered, option=orjson.OPT_SORT_KEYS))
    return PriceBook(Entries(lines, key=key))
