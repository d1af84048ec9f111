"""What an operator adds to the price list: bare rows, or entries as an export has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import orjson

from domain.clock import instant_text, parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.events.codec import canonical
from pricing.book import FIELDS, KINDS, PriceBook, price_provider
from pricing.names import Names
from pricing.row import Row, row_of

ADDED_MAX: Final = 1_000
"""Entries that may be added at once: they are one event."""


def read_entries(data: bytes, *, what: str) -> list[JsonObject]:
    """JSON lines; empty ones count but say nothing. Raises BadValue, naming the line."""
    return [
        json_object(line.decode("utf-8", "replace"), f"{what}, line {number}")
        for number, line in enumerate(data.splitlines(), 1)
        if line.strip()
    ]


def json_object(text: str, what: str) -> JsonObject:
    """Raises BadValue, naming what it is."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadValue(f"{what}: not JSON: {error}", param=what) from None
    if not isinstance(value, dict):
        raise BadValue(f"{what}: not a JSON object", param=what)
    return value


def additions(
    given: Sequence[JsonObject],
    book: PriceBook,
    *,
    names: Names,
    providers: Collection[str],
    at: datetime,
) -> list[JsonObject]:
    """The entries that a book lacks, made whole.

    A row gets its id and, where it has none, a canonical name and a source. Its `recorded_at` is
    that of the book's newest entry (`at`, if there is none): freshness is measured from there, so
    a row that an operator adds to an old list makes none of the others stale. What the book says
    already is left out, so that adding a file twice adds nothing the second time. Raises BadValue,
    naming the entry by its place.
    """
    recorded_at = instant_text(book.newest or at)
    if len(given) > ADDED_MAX:
        raise BadValue(f"at most {ADDED_MAX} entries are added at once")
    added: list[JsonObject] = []
    said: set[bytes] = set()
    for place, entry in enumerate(given, 1):
        try:
            kind, data = _kind(entry)
            _check_provider(kind, data, providers)
            said_before = len(said)
            if kind == "row":
                whole = _whole(data, n=book.rows + len(added) + 1, names=names, at=recorded_at)
                said.add(canonical(_essence(whole)))
                known = _stands(book, row_of(0, whole))
            else:
                whole = _plain(book, added, kind, data)
                said.add(canonical({kind: whole}))
                known = _mentioned(book, canonical({kind: whole})[1:-1])
        except BadValue as error:
            raise BadValue(f"entry {place}: {error}", param=error.param) from None
        if len(said) > said_before and not known:
            added.append({kind: whole})
    return added


def _kind(entry: JsonObject) -> tuple[str, JsonObject]:
    """The kind of an entry and what it says; what has no kind is a row."""
    if not isinstance(entry, dict):
        raise BadValue("it is not an object")
    for kind in KINDS:
        if isinstance(entry.get(kind), dict):
            if set(entry) - {kind, "n"}:
                raise BadValue(f"an entry has one of {', '.join(KINDS)}, and nothing else")
            return kind, entry[kind]
    return "row", entry


def _check_provider(kind: str, data: JsonObject, providers: Collection[str]) -> None:
    if kind not in {"row", "name"}:
        return
    slug = data.get("provider")
    if not isinstance(slug, str) or slug not in providers:
        raise BadValue(f"{str(slug)[:40]!r} is not a provider of the catalogue", param="provider")
    if price_provider(slug) != slug:
        raise BadValue(f"{slug} is priced by the rows of {price_provider(slug)}", param="provider")


def _whole(data: JsonObject, *, n: int, names: Names, at: str) -> JsonObject:
    row = row_of(n, data)
    if not row.prices:
        raise BadValue("a price row needs prices", param="prices")
    return {
        "source": ["operator"],
        **data,
        "id": f"{row.provider}/{row.model}~own{n}",
        "canonical": data.get("canonical") or names.key(row.model),
        "recorded_at": at,
    }


def _essence(row: JsonObject) -> JsonObject:
    return {name: row[name] for name in row.keys() - {"id", "recorded_at", "source"}}


def _stands(book: PriceBook, row: Row) -> bool:
    """The latest entry of the book for the same calls says the same."""
    ours = _calls(row)
    same = [each for each in book.rows_of(row.provider, row.model) if _calls(each) == ours]
    return bool(same) and _says(same[-1]) == _says(row)


def _calls(row: Row) -> tuple[object, ...]:
    return row.conditions, row.effective_from, row.effective_to


def _says(row: Row) -> tuple[object, ...]:
    return row.canonical, row.prices, row.tiers, row.time_overrides, row.multiplier


def _plain(book: PriceBook, added: Sequence[JsonObject], kind: str, data: JsonObject) -> JsonObject:
    """A name, sighting or deprecation. Raises BadValue for a field too many, or one that lacks."""
    names = FIELDS[kind]
    if set(data) != set(names) or not all(isinstance(data[name], str) for name in names):
        raise BadValue(f"{kind} has the fields {', '.join(names)}, all text", param=kind)
    if kind == "name":
        return data
    rows = [entry["row"]["id"] for entry in added if "row" in entry]
    if data["row"] not in rows and not _mentioned(book, canonical({"id": data["row"]})[1:-1]):
        raise BadValue(f"there is no row {data['row'][:80]}", param="row")
    return {**data, "at": instant_text(parse_instant(data["at"], param="at"))}


def _mentioned(book: PriceBook, text: bytes) -> bool:
    """A line has these very members: keys are sorted, so they stand side by side."""
    return any(text in line for line in book.lines())
