"""`keytoll rate`: one record in, what it costs out (API.md 7). For people and for checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, Protocol

import orjson

from domain.account import MARKUP_DEFAULT
from domain.clock import parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.money import PROVIDER_COST_PLACES, decimal_of, text_of
from pricing.book import PriceBook, book_of
from pricing.cost import Component
from pricing.fee import fee, markup_rate
from pricing.names import Names
from pricing.paid_version import setting_of
from pricing.rate import Call, rate_parts
from pricing.receipt import amounts, candidate_of
from pricing.row import CONDITIONS, Conditions


class Normalised(Protocol):
    """What a provider's usage object says, in units of API.md 7."""

    @property
    def usage(self) -> dict[str, int]: ...

    @property
    def context(self) -> JsonObject: ...

    @property
    def parts(self) -> Sequence[JsonObject]: ...

    @property
    def anomalies(self) -> Sequence[str]: ...

    @property
    def provider_cost(self) -> JsonObject | None: ...


Normalise = Mapping[str, Callable[[JsonObject, str | None], Normalised]]
"""api_flavor → the function that reads that protocol's usage object, of the model named."""

_CONTEXT: Final = frozenset({*CONDITIONS, "deployment_model"})
_MEANINGS: Final = ("total", "upstream", "gateway_fee")
OWN_BOOKS_MAX: Final = 64
"""Books of records' own rows that are kept; checks give the same rows with each record."""


def rate_record(
    record: JsonObject,
    book: PriceBook,
    *,
    names: Names,
    normalise: Normalise,
    reference: str = "same-provider-first",
    at: datetime | None = None,
) -> JsonObject:
    """Rate one record; `at` stands in where it has no instant. Raises BadValue, naming the field.

    `key_plan` is accepted and changes nothing: a paid price at the provider is the reference,
    whatever the plan of the key (PRICES.md).
    """
    if not isinstance(record, dict):
        raise BadValue("a record is a JSON object")
    if record.get("price_book") is not None:
        book = _own_book(record["price_book"], names)
    told = _told(record, normalise)
    context = {**told.context, **_context(record)}
    call = Call(
        provider=_text(record, "provider"),
        served=_served(record),
        otherwise=(context.get("deployment_model"), _text(record, "model")),
        at=_instant(record, at),
        usage=told.usage,
        conditions=Conditions.of(context),
        provider_cost=_provider_cost(record) or told.provider_cost,
    )
    agreed = markup_rate(_text({"markup_rate": MARKUP_DEFAULT, **record}, "markup_rate"))
    setting = setting_of(record.get("reference_setting", reference))
    rating, _ = rate_parts(call, told.parts, book, reference=setting)
    result = amounts(rating)
    result["fee_usd"] = None if rating.at_cost is None else str(fee(rating.at_cost, agreed))
    result["model"] = rating.model
    result["components"] = [_component(each) for each in rating.components]
    result["candidates"] = [candidate_of(each) for each in rating.candidates]
    result["price_book"] = book.hash
    if told.anomalies:
        result["anomalies"] = list(told.anomalies)
    return result


def _own_book(rows: object, names: Names) -> PriceBook:
    try:
        return _book(orjson.dumps(rows), names)
    except orjson.JSONEncodeError:  # it writes less depth than it reads
        raise BadValue("price_book is nested too deeply", param="price_book") from None


@lru_cache(maxsize=OWN_BOOKS_MAX)
def _book(text: bytes, names: Names) -> PriceBook:
    """A book of the record's own rows, whose models are named by rule. Every row is checked."""
    rows = orjson.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadValue("price_book must be a list of rows", param="price_book")
    book = book_of(rows, key=names.key)
    for provider in book.providers():
        for model in book.models(provider):
            book.rows_of(provider, model)
    return book


def _component(component: Component) -> JsonObject:
    return {
        "unit": component.unit,
        "count": component.quantity,
        "price_name": component.price_name,
        "price": text_of(component.price),
        "amount_usd": str(component.amount),
        "price_row": component.row,
    }


def _provider_cost(record: JsonObject) -> JsonObject | None:
    """What the provider says the call cost, as an event holds it."""
    figure = _object(record, "provider_cost")
    if figure is None:
        return None
    if figure.get("meaning") not in _MEANINGS:
        raise BadValue(
            f"provider_cost.meaning must be one of {', '.join(_MEANINGS)}",
            param="provider_cost.meaning",
        )
    decimal_of(figure.get("amount", ""), places=PROVIDER_COST_PLACES, what="provider_cost.amount")
    return figure


def _served(record: JsonObject) -> str | None:
    served = record.get("response_model")
    if served is not None and not isinstance(served, str):
        raise BadValue("response_model must be text", param="response_model")
    return served


def _context(record: JsonObject) -> JsonObject:
    """What the record states; null leaves it to the usage object.

    A misspelt condition would quietly give the standard price, so it is refused.
    """
    context = _object(record, "context") or {}
    for name, value in context.items():
        if name not in _CONTEXT:
            raise BadValue(f"context has no field {name[:40]!r}", param=f"context.{name}")
        if value is not None and not isinstance(value, bool if name == "batch" else str):
            raise BadValue(f"context.{name} has the wrong type", param=f"context.{name}")
    return {name: value for name, value in context.items() if value is not None}


def _told(record: JsonObject, normalise: Normalise) -> Normalised:
    usage = _object(record, "usage")
    if usage is not None:
        return _Counts({unit: count for unit, count in usage.items() if count is not None})
    raw = _object(record, "raw_usage")
    if raw is None:
        raise BadValue("a record needs usage, or raw_usage and api_flavor", param="usage")
    flavor = _text(record, "api_flavor")
    if flavor not in normalise:
        known = ", ".join(sorted(normalise))
        raise BadValue(f"api_flavor must be one of {known}", param="api_flavor")
    # What a provider means by the words of a protocol that others speak too.
    own = f"{_text(record, 'provider')}.{flavor.partition('.')[2]}"
    read = normalise.get(own, normalise[flavor])
    return read(raw, _served(record) or _text(record, "model"))


@dataclass(frozen=True, slots=True)
class _Counts:
    """Usage that came in our own units."""

    usage: dict[str, int]
    context: JsonObject = field(default_factory=dict)
    parts: tuple[JsonObject, ...] = ()
    anomalies: tuple[str, ...] = ()
    provider_cost: JsonObject | None = None


def _instant(record: JsonObject, otherwise: datetime | None) -> datetime:
    text = record.get("at")
    if text is None and otherwise is not None:
        return otherwise
    if not isinstance(text, str):
        raise BadValue("at must be an instant such as 2026-11-01T00:00:00Z", param="at")
    return parse_instant(text, param="at")


def _text(record: JsonObject, name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value:
        raise BadValue(f"{name} must be text", param=name)
    return value


def _object(record: JsonObject, name: str) -> JsonObject | None:
    value = record.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadValue(f"{name} must be an object", param=name)
    return value
