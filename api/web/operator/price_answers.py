"""What the pages of the price book ask of it: the same functions as `keytoll prices`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from api.providers.catalogue import PROVIDERS
from api.web.operations import Operations
from api.web.operator.fields import instant_of_field
from domain.clock import instant_text, parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.invoice import parse_period
from domain.money import text_of
from pricing.additions import json_object
from pricing.book import PriceBook, UnknownBook
from pricing.difference import Change, differences
from pricing.explain import USAGE, explain
from pricing.load import shipped_names
from pricing.paid_version import setting_of
from pricing.row import STANDARD
from projections.what_if import Compared, Group, by_book, compared, settled_within, total

FOUND_MAX: Final = 50
CHANGES_MAX: Final = 500
PRICE_FIELDS: Final[Mapping[str, str]] = {
    "input": "Input",
    "cached_input": "Cached input",
    "output": "Output",
    "per_request": "Per request",
}
"""Prices that the short form asks for → what they are called there."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model that a search found, with its standard price as of now."""

    provider: str
    model: str
    prices: Mapping[str, str] | None
    """None: no standard row is in force."""
    free: bool


@dataclass(frozen=True, slots=True)
class Added:
    """An entry of the operator's own."""

    published_at: str
    number: int
    entry: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody wants explained, as typed."""

    provider: str
    model: str
    at: str
    book: str
    usage: str
    context: str

    def typed(self) -> dict[str, str]:
        """By the name of the field."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two books, and what a period's calls would have cost by each."""

    old: PriceBook
    new: PriceBook
    at: str
    changes: Sequence[Change]
    more: int
    """Changes beyond those shown."""
    groups: Mapping[Group, Compared] | None
    """Models whose calls cost something else; None: no period was asked for."""
    whole: Compared | None


class PriceAnswers:
    """Reads books and calls; changes nothing."""

    def __init__(self, operations: Operations) -> None:
        self._usage = operations.usage
        self._desk = operations.desk
        self._names = shipped_names()

    @property
    def current(self) -> PriceBook:
        """The book in force."""
        return self._usage.books.current

    def search(self, text: str) -> tuple[Sequence[Found], int]:
        """Models whose id has the words in it, in any case; and how many there are."""
        words, book = text.casefold().split(), self.current
        ids = [
            (provider, model)
            for provider in book.providers()
            for model in book.models(provider)
            if all(word in f"{provider} {model}".casefold() for word in words)
        ]
        now = self._usage.clock.now()
        return [_found(book, *each, now=now) for each in ids[:FOUND_MAX]], len(ids)

    def added(self) -> Sequence[Added]:
        """The operator's own entries, the newest first."""
        return [
            Added(book.published_at, entry["n"], entry)
            for book in reversed(self._desk.published.all())
            for entry in reversed(book.entries)
        ]

    def explained(self, question: Question) -> JsonObject:
        """Why a model costs what it costs. Raises BadValue naming the field."""
        if question.provider not in PROVIDERS:
            raise BadValue("Choose a provider.", param="provider")
        if not question.model.strip():
            raise BadValue("Enter the model's id at this provider.", param="model")
        usage = json_object(question.usage, "usage") if question.usage.strip() else USAGE
        context = json_object(question.context, "context") if question.context.strip() else {}
        return explain(
            self._book(question.book, param="book"),
            provider=question.provider,
            model=question.model.strip(),
            at=self._instant(question.at),
            usage=usage,
            context=context,
            reference=setting_of(self._desk.reference),
            names=self._names,
        )

    def compared(self, wanted: Mapping[str, str]) -> Comparison:
        """Two books; with a period also its calls by both. Raises BadValue naming the field."""
        old, new = (self._book(wanted[name], param=name) for name in ("old", "new"))
        at = self._instant(wanted["at"])
        period = parse_period(wanted["period"].strip()) if wanted["period"].strip() else None
        changes = differences(old, new, at=at)
        groups = whole = None
        if period is not None:
            projected = self._usage.projected()
            projected.catch_up()
            states = settled_within(self._usage.log, projected.store, period)
            every = compared(states, by_book(old), by_book(new))
            whole = total(every.values())
            groups = {name: group for name, group in every.items() if group.changed}
        return Comparison(
            old=old,
            new=new,
            at=instant_text(at),
            changes=changes[:CHANGES_MAX],
            more=max(0, len(changes) - CHANGES_MAX),
            groups=groups,
            whole=whole,
        )

    def _book(self, text: str, *, param: str) -> PriceBook:
        if text.strip() in {"", "current"}:
            return self.current
        try:
            return self._usage.books.open(text.strip())
        except UnknownBook:
            raise BadValue(
                "No book of this hash is in this program. A hash begins with sha256:", param=param
            ) from None

    def _instant(self, text: str) -> datetime:
        if text.strip().endswith("Z"):
            return parse_instant(text.strip(), param="at")
        given = instant_of_field(text, param="at")
        return self._usage.clock.now() if given is None else parse_instant(given, param="at")


def row_of_fields(given: Mapping[str, str]) -> JsonObject:
    """A bare row from the short form. Raises BadValue naming the field."""
    prices = {name: given[name].strip() for name in PRICE_FIELDS if given.get(name, "").strip()}
    if not given.get("model", "").strip():
        raise BadValue("Enter the model's id at this provider.", param="model")
    if not prices:
        raise BadValue("Enter at least one price.", param="prices")
    row: dict[str, Any] = {
        "provider": given.get("provider", ""),
        "model": given["model"].strip(),
        "prices": prices,
    }
    start = instant_of_field(given.get("effective_from", ""), param="effective_from")
    return {**row, "effective_from": start} if start else row


def _found(book: PriceBook, provider: str, model: str, *, now: datetime) -> Found:
    standard = [
        row for row in book.rows_of(provider, model) if row.conditions == STANDARD and row.live(now)
    ]
    if not standard:
        return Found(provider, model, None, free=False)
    row = standard[-1]
    prices = {name: text_of(price) for name, price in row.prices.items()}
    return Found(provider, model, prices, free=row.free)
