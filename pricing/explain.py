"""Why a model costs what it costs: which rows there are, which one holds, and what it makes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from domain.clock import instant_text
from domain.events.base import JsonObject
from domain.usage import Usage
from pricing.book import PriceBook, price_provider
from pricing.names import Names
from pricing.records import rate_record
from pricing.row import CONDITIONS, Conditions, Row

USAGE: Final[Usage] = {"input_tokens": 1000, "output_tokens": 1000}
"""What is rated when nobody says otherwise."""
LOST: Final = {
    "higher": "not the lowest",
    "other_provider": "the provider used has a paid version of its own",
    "unpriced_units": "no price for a unit that was used",
    "service_class": "the price of another service class",
    "deprecated": "its provider has announced its end",
    "moving_name": "a name that moves between models",
    "undated": "a router's price that no row dates",
    "stale": "not seen at its source for more than 45 days",
    "outlier": "beyond a quarter or four times the median",
}
"""Why a paid version is not the reference (docs/pricing.md), in words."""


def explain(
    book: PriceBook,
    *,
    provider: str,
    model: str,
    at: datetime,
    usage: Usage = USAGE,
    context: JsonObject,
    reference: str,
    names: Names,
) -> JsonObject:
    """All that bears on the price of a call. Raises BadValue for a usage that cannot be."""
    record = {"provider": provider, "model": model, "usage": dict(usage), "context": context}
    rated = rate_record(record, book, names=names, normalise={}, reference=reference, at=at)
    canonical = book.canonical(provider, model)
    found_by, rows = _rows(book, provider, model, canonical, at)
    met = Conditions.of(context)
    own = (rated["reference"] or {}).get("price_rows", [])
    free = [row for row in rows if row.free and row.live(at) and row.conditions.met_by(met)]
    return {
        "provider": provider,
        "model": model,
        "at": instant_text(at),
        "price_book": book.hash,
        "entries": book.rows,
        "newest": None if book.newest is None else instant_text(book.newest),
        "canonical": canonical,
        "found_by": found_by,
        "rows": [
            {
                "n": row.n,
                **book.told(row),
                "in_force": row.live(at),
                "conditions_met": row.conditions.met_by(met),
                "used": row.id in own or row in free[:1],
                "free": row.free,
                "last_seen": _text(book.last_seen(row)),
                "deprecated": book.deprecated(row, at),
            }
            for row in rows
        ],
        "usage": dict(usage),
        "context": context,
        "rating": rated,
    }


def _rows(
    book: PriceBook, provider: str, model: str, canonical: str | None, at: datetime
) -> tuple[str | None, Sequence[Row]]:
    """How the model is found, and its rows: those that state most first, the latest first."""
    exact = book.rows_of(provider, model)
    if any(row.live(at) for row in exact):
        return "exact id", _ordered(exact)
    owner = price_provider(provider)
    keyed = book.rows_of_key(canonical) if canonical is not None else ()
    same = [row for row in keyed if row.provider == owner]
    if any(row.live(at) for row in same):
        return "canonical name", _ordered(same)
    return None, _ordered(exact or same)


def _ordered(rows: Sequence[Row]) -> Sequence[Row]:
    return sorted(rows, key=lambda row: (row.conditions.stated, row.model, -row.n))


def conditions_of(row: JsonObject) -> JsonObject:
    """What a row as told demands."""
    return {name: row[name] for name in CONDITIONS if row.get(name) is not None}


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)
