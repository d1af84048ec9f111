"""Small builders for rows, books, calls and events of tests."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

from domain.clock import instant_text, parse_instant
from domain.events.base import JsonObject
from domain.events.requests import RequestRouted, UsageReported
from domain.money import Money
from pricing.book import PriceBook, book_of
from pricing.load import shipped_names
from pricing.paid_version import Setting
from pricing.rate import Call, Rating, rate
from pricing.row import Conditions

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""A Monday."""
NAMES = shipped_names()

Terms = list[tuple[int, str]]
"""Counts and prices per million, as worked out by hand."""


def row(provider: str = "p", model: str = "m", **fields: Any) -> JsonObject:
    """A row; prices default to 2 in, 8 out."""
    return {"provider": provider, "model": model, "prices": {"input": "2", "output": "8"}, **fields}


def book(*rows: JsonObject) -> PriceBook:
    """A book of bare rows or entries, named by rule."""
    return book_of(rows, key=NAMES.key)


def rated(
    prices: PriceBook,
    usage: dict[str, int],
    *,
    provider: str = "p",
    model: str = "m",
    at: str | datetime = NOON,
    context: JsonObject | None = None,
    provider_cost: JsonObject | None = None,
    reference: Setting = "same-provider-first",
) -> Rating:
    """Rate one call, most of it by default."""
    call = Call(
        provider=provider,
        served=None,
        otherwise=(model,),
        at=parse_instant(at) if isinstance(at, str) else at,
        usage=usage,
        conditions=Conditions.of(context or {}),
        provider_cost=provider_cost,
    )
    return rate(call, prices, reference=reference)


def per_million(terms: Terms) -> Fraction:
    """The amount that terms add up to, in exact fractions: no decimal arithmetic of ours."""
    return sum((Fraction(count) * Fraction(price) / 10**6 for count, price in terms), Fraction(0))


def amount(money: Money | None) -> Fraction | None:
    """An amount as a fraction."""
    return None if money is None else Fraction(money.usd)


def routed(prices: PriceBook, **fields: Any) -> RequestRouted:
    """The first event of a request."""
    values: dict[str, Any] = {
        "originator_id": uuid4(),
        "originator_version": 1,
        "account_id": "acc_1",
        "api_key_id": "key_1",
        "credential_id": "cred_1",
        "provider": "p",
        "api": "openai.chat",
        "requested_model": "m",
        "upstream_model": "m",
        "stream": False,
        "prompt_bytes": 10,
        "price_book": prices.hash,
        "price_at": instant_text(NOON),
        "markup_rate": "0.05",
        "account_version": 1,
        "reference_setting": "same-provider-first",
        "tags": {},
        "attempt_of": None,
        "idempotency": None,
        "owner": "epoch",
        "sandbox": False,
    }
    return RequestRouted(**{**values, **fields})


def reported(request: UUID, usage: dict[str, int], **fields: Any) -> UsageReported:
    """The second event of a request."""
    values: dict[str, Any] = {
        "originator_id": request,
        "originator_version": 2,
        "usage": usage,
        "provenance": dict.fromkeys(usage, "reported"),
        "usage_raw": [],
        "model": "m",
    }
    return UsageReported(**{**values, **fields})
