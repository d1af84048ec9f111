"""Rating a request from its events: what the receipt, the projector and every proof call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from domain.clock import parse_instant
from domain.events.requests import RequestRouted, UsageEstimated, UsageEvent
from domain.money import Money
from domain.usage import Usage
from pricing.book import PriceBook
from pricing.fee import fee, markup_rate
from pricing.paid_version import setting_of
from pricing.rate import Call, Rating, Reference, Status, rate
from pricing.row import Conditions

UsageSource = Literal["provider", "estimate", "none"]

_ORDER: Final[tuple[Status, ...]] = ("free_model", "priced", "no_paid_equivalent")
"""Of several parts, the first status that any of them has speaks for all."""


@dataclass(frozen=True, slots=True)
class RatedRequest:
    """A request, rated by one book. `price_book` is that book's hash."""

    provider: str
    model: str
    """The name of its line: as served if that has a price, else as deployed, else as asked."""
    rating: Rating
    """Of the whole request; the sum over `parts` when it used several models."""
    parts: tuple[Rating, ...]
    usage: Usage
    usage_source: UsageSource
    markup_rate: Decimal
    fee: Money | None
    price_book: str
    sandbox: bool

    @property
    def status(self) -> Status:
        return self.rating.status

    @property
    def at_cost(self) -> Money | None:
        return self.rating.at_cost


def rate_request(routed: RequestRouted, used: UsageEvent, book: PriceBook) -> RatedRequest:
    """Rate the usage of a request by a book, with everything else as it was routed."""
    whole = _call(routed, used, used.model, used.usage)
    setting = setting_of(routed.reference_setting)
    rating = rate(whole, book, reference=setting)
    parts: tuple[Rating, ...] = ()
    if used.parts and not _reported(rating):
        calls = (_call(routed, used, part["model"], part["usage"]) for part in used.parts)
        parts = tuple(rate(call, book, reference=setting) for call in calls)
        rating = _sum(rating, parts)
    rate_agreed = markup_rate(routed.markup_rate)
    return RatedRequest(
        provider=routed.provider,
        model=rating.model,
        rating=rating,
        parts=parts,
        usage=used.usage,
        usage_source=usage_source(used),
        markup_rate=rate_agreed,
        fee=None if rating.at_cost is None else fee(rating.at_cost, rate_agreed),
        price_book=book.hash,
        sandbox=routed.sandbox,
    )


def usage_source(used: UsageEvent) -> UsageSource:
    """Whether the counts are the provider's own or, in part, ours."""
    estimated = isinstance(used, UsageEstimated) or "estimated" in used.provenance.values()
    return "estimate" if estimated else "provider"


def _call(
    routed: RequestRouted, used: UsageEvent, served: str | None, usage: Mapping[str, int]
) -> Call:
    names = (served, used.context.get("deployment_model"), routed.upstream_model)
    return Call(
        provider=routed.provider,
        models=tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name)),
        at=parse_instant(routed.price_at, param="price_at"),
        usage=usage,
        conditions=Conditions.of(used.context),
        provider_cost=used.provider_cost,
    )


def _reported(rating: Rating) -> bool:
    return rating.reference is not None and rating.reference.rule == "reported"


def _sum(main: Rating, parts: Sequence[Rating]) -> Rating:
    """One rating for a request that used several models, named after the main one."""
    priced = [part for part in parts if part.at_cost is not None]
    unrated = _once(unit for part in parts for unit in part.unrated_units)
    notes = _once(note for part in parts for note in part.notes)
    if not priced:
        return Rating("unrated", None, main.model, unrated_units=unrated, notes=notes)
    whole = len(priced) == len(parts) and not unrated
    statuses = {part.status for part in priced}
    status: Status = next((each for each in _ORDER if each in statuses), "unrated_units")
    return Rating(
        status if whole else "unrated_units",
        Money.total(part.at_cost for part in priced if part.at_cost is not None),
        main.model,
        _common(main, priced),
        tuple(component for part in parts for component in part.components),
        tuple(candidate for part in parts for candidate in part.candidates),
        unrated,
        notes,
    )


def _common(main: Rating, priced: Sequence[Rating]) -> Reference:
    """The main model's reference, or the first part's, with the rows of all parts."""
    references = [part.reference for part in priced if part.reference is not None]
    first = main.reference or references[0]
    rows = {row for reference in references for row in reference.price_rows}
    return Reference(first.rule, first.provider, first.model, tuple(sorted(rows)))


def _once(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
