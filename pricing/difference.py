"""What one price book says that another does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal, NamedTuple

from domain.clock import instant_text
from domain.events.base import JsonObject
from domain.money import text_of
from pricing.book import PriceBook
from pricing.row import STANDARD, Conditions, Prices, Row

Kind = Literal["added", "changed", "ended", "deprecated", "announced"]

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
    found = [*_now(before, after), *_later(old, new, at)]
    for model in before.keys() & after.keys():
        was, now = before[model], after[model]
        if new.deprecated(now, at) and not old.deprecated(was, at):
            found.append(Change("deprecated", *model, _shown(was), _shown(now)))
    return sorted(found, key=lambda each: (each.provider, each.model, str(each.conditions)))


def shown_conditions(conditions: Conditions) -> JsonObject:
    """The conditions that are stated."""
    values = ((each.name, getattr(conditions, each.name)) for each in fields(conditions))
    standard = {each.name: getattr(STANDARD, each.name) for each in fields(conditions)}
    return {name: value for name, value in values if value != standard[name]}


class _Said(NamedTuple):
    """What makes two prices the same."""

    prices: Prices
    rest: tuple[object, ...]


def _said(row: Row) -> _Said:
    return _Said(row.prices, (row.tiers, row.time_overrides, row.multiplier))


def _now(before: Mapping[Model, Row], after: Mapping[Model, Row]) -> Iterator[Change]:
    for model in before.keys() | after.keys():
        ours, theirs = before.get(model), after.get(model)
        if ours is None and theirs is not None:
            yield Change("added", *model, None, _shown(theirs))
        elif theirs is None and ours is not None:
            yield Change("ended", *model, _shown(ours), None)
        elif ours is not None and theirs is not None and _said(ours) != _said(theirs):
            yield Change("changed", *model, _shown(ours), _shown(theirs))


def _later(old: PriceBook, new: PriceBook, at: datetime) -> Iterator[Change]:
    """Rows of the new book that are not in force yet."""
    known = {row.id for row in _rows(old)}
    for row in _rows(new):
        if row.id not in known and row.effective_from is not None and row.effective_from > at:
            yield Change("announced", row.provider, row.model, row.conditions, None, _shown(row))


def _standing(book: PriceBook, at: datetime) -> dict[Model, Row]:
    """The latest entry in force for each, as rating would choose it."""
    return {(row.provider, row.model, row.conditions): row for row in _rows(book) if row.live(at)}


def _rows(book: PriceBook) -> Iterable[Row]:
    """All rows, in the order of the book for each model."""
    for provider in book.providers():
        for model in book.models(provider):
            yield from book.rows_of(provider, model)


def _shown(row: Row) -> JsonObject:
    shown: JsonObject = {"row": row.id, "prices": _texts(row.prices)}
    if row.tiers:
        shown["tiers"] = [
            {"input_tokens_above": tier.above, **_texts(tier.prices)} for tier in row.tiers
        ]
    if row.time_overrides:
        shown["time_overrides"] = [_texts(each.prices) for each in row.time_overrides]
    if row.multiplier != 1:
        shown["multiplier"] = text_of(row.multiplier)
    if row.effective_from is not None:
        shown["effective_from"] = instant_text(row.effective_from)
    if row.effective_to is not None:
        shown["effective_to"] = instant_text(row.effective_to)
    return shown


def _texts(prices: Prices) -> dict[str, str]:
    return {name: text_of(price) for name, price in prices.items()}
