"""Rating a request from its events: what the receipt, the projector and every proof call."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

from domain.clock import parse_instant
from domain.events.requests import RequestRouted, UsageEstimated, UsageEvent
from domain.money import Money
from domain.usage import Usage
from pricing.book import PriceBook
from pricing.fee import fee, markup_rate
from pricing.paid_version import setting_of
from pricing.rate import Call, Rating, Status, rate_parts
from pricing.row import Conditions

UsageSource = Literal["provider", "estimate", "none"]


class RatedRequest(NamedTuple):
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
    rating, parts = rate_parts(
        _call(routed, used), used.parts, book, reference=setting_of(routed.reference_setting)
    )
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


def _call(routed: RequestRouted, used: UsageEvent) -> Call:
    deployed = used.context.get("deployment_model")
    return Call(
        provider=routed.provider,
        served=used.model,
        otherwise=(deployed if isinstance(deployed, str) else None, routed.upstream_model),
        at=parse_instant(routed.price_at, param="price_at"),
        usage=used.usage,
        conditions=Conditions.of(used.context),
        provider_cost=used.provider_cost,
    )
