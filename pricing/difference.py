"""What one price book says that another does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from domain.events.base import JsonObject
from pricing.book import PriceBook
from pricing.row import STANDARD, Conditions, Prices, Row

Kind = Literal["added", "changed", "ended", "deprecated", "announced"]

_TOLD: Final = (
    *("prices", "tiers", "time_overrides", "multiplier"),
    *("effective_from", "effective_to"),
)

Model = tuple[str, str, Conditions]
"""Provider, id and service class: what has one price at a time."""


@dataclass(frozen=True, slots=True)
class Change:
    """One price that is another one in the new book."""

    kind: Kind
    """`deprecated`: the provider has announced its end. `announced`: it begins later."""
    provider: str
    model: str
    conditions: Conditions
    before: JsonObject | None
    """The row of the old book, as it stands there: its id, its prices and when they hold."""
    after: JsonObject | None

    def as_json(self) -> JsonObject:
        """For machines; conditions only where there are any."""
        return {
            "kind": self.kind,
            "provider": self.provider,
            "model": self.model,
            "conditions": shown_conditions(self.conditions),
            "before": self.before,
            "after": self.after,
        }


def differences(old: PriceBook, new: PriceBook, *, at: datetime) -> Sequence[Change]:
    """What is in force at the instant, compared; and what of the new book comes later."""
    before, after = _standing(old, at), _standing(new, at)
    found = list(_later(old, new, at))
    for model in before.keys() | after.keys():
        was, now = before.get(model), after.get(model)
        shown = _shown(old, was), _shown(new, now)
        if was is None or now is None:
            found.append(Change("added" if was is None else "ended", *model, *shown))
            continue
        if _said(was) != _said(now):
            found.append(Change("changed", *model, *shown))
        if new.deprecated(now, at) and not old.deprecated(was, at):
            found.append(Change("deprecated", *model, *shown))
    return sorted(found, key=lambda each: (each.provider, each.model, str(each.conditions)))


def shown_conditions(conditions: Conditions) -> JsonObject:
    """The conditions that are stated."""
    standard = STANDARD._asdict()
    return {name: value for name, value in conditions._asdict().items() if value != standard[name]}


class _Said(NamedTuple):
    """What makes two prices the same."""

    prices: Prices
    rest: tuple[object, ...]


def _said(row: Row) -> _Said:
    return _Said(row.prices, (row.tiers, row.time_overrides, row.multiplier))


def _later(old: PriceBook, new: PriceBook, at: datetime) -> Iterator[Change]:
    """Rows of the new book that are not in force yet."""
    known = {row.id for row in _rows(old)}
    for row in _rows(new):
        if row.id not in known and row.effective_from is not None and row.effective_from > at:
            model = row.provider, row.model, row.conditions
            yield Change("announced", *model, None, _shown(new, row))


def _standing(book: PriceBook, at: datetime) -> dict[Model, Row]:
    """The latest entry in force for each, as rating would choose it."""
    return {(row.provider, row.model, row.conditions): row for row in _rows(book) if row.live(at)}


def _rows(book: PriceBook) -> Iterable[Row]:
    """All rows, in the order of the book for each model."""
    for provider in book.providers():
        for model in book.models(provider):
            yield from book.rows_of(provider, model)


def _shown(book: PriceBook, row: Row | None) -> JsonObject | None:
    if row is None:
        return None
    told = book.told(row)
    return {"row": row.id, **{name: told[name] for name in _TOLD if told.get(name)}}
