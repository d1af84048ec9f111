"""Merges what two sources say about a model into rows: agreement in, contradiction out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from domain.events.base import JsonObject
from domain.money import EXACT, text_of
from pricing.sources.decisions import OMITTED_WHERE_CONTRADICTED
from pricing.sources.offer import STANDARD, Offer, Prices, Terms, Tiers

_CONDITIONS: Final[dict[str, JsonObject]] = {
    STANDARD: {},
    "batch": {"batch": True},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast_tier": {"service_tier": "fast"},
    "fast_speed": {"speed": "fast"},
}


@dataclass(slots=True)
class Merged:
    """Rows of one model, without id and number, and what was left out."""

    rows: list[JsonObject] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merged(offers: list[Offer]) -> Merged:
    """Rows for what all say, or only one does; nothing for what they contradict each other in."""
    result = Merged()
    standard = _agreed(offers, STANDARD, result)
    if standard is None or not {"input", "output"} <= set(standard.prices):
        return result
    since = next((offer.since for offer in offers if offer.since), None)
    for offer in offers:
        for start, end, past in offer.before:
            result.rows.append(_row([offer], STANDARD, past, start, end))
    uplifts = {place: factor for offer in offers for place, factor in offer.uplifts.items()}
    for variant in _CONDITIONS:
        terms = standard if variant == STANDARD else _agreed(offers, variant, result)
        if terms is None:
            continue
        whole = _completed(terms, standard)
        tellers = [offer for offer in offers if variant in offer.terms]
        result.rows.append(_row(tellers, variant, whole, since, None))
        for place, factor in sorted(uplifts.items()):
            lifted = _row(tellers, variant, _lifted(whole, factor), since, None)
            name, _, where = place.partition("=")
            result.rows.append({**lifted, name: where, "confidence": "medium"})
    return result


def _agreed(offers: list[Offer], variant: str, result: Merged) -> Terms | None:
    told = [(offer, offer.terms[variant]) for offer in offers if variant in offer.terms]
    if not told:
        return None
    agreed = Terms()
    omitted: list[tuple[int | None, str]] = []
    for offer, terms in told:
        for where, prices in _levels(terms):
            ours = _level(agreed, where)
            for name, price in prices.items():
                if ours.setdefault(name, price) == price:
                    continue
                result.conflicts.append(
                    f"{offer.provider} {offer.model}{_label(variant, where)} {name}: "
                    f"{text_of(ours[name])} or {text_of(price)}"
                )
                if name not in OMITTED_WHERE_CONTRADICTED:
                    return None
                omitted.append((where, name))
    for where, name in omitted:
        del _level(agreed, where)[name]
    missing = _tier_conflict(told)
    if missing is not None:
        offer = told[0][0]
        result.conflicts.append(
            f"{offer.provider} {offer.model}{_label(variant, missing)}: only one has this tier"
        )
        return None
    return agreed


def _tier_conflict(told: list[tuple[Offer, Terms]]) -> int | None:
    """A threshold that only one of two sources has: flat and tiered contradict each other."""
    thresholds = [set(terms.tiers) for _, terms in told]
    everywhere = set[int]().union(*thresholds)
    return min(
        (each for each in everywhere if not all(each in t for t in thresholds)), default=None
    )


def _levels(terms: Terms) -> Iterator[tuple[int | None, Prices]]:
    yield None, terms.prices
    yield from terms.tiers.items()


def _level(terms: Terms, where: int | None) -> Prices:
    return terms.prices if where is None else terms.tiers.setdefault(where, {})


def _label(variant: str, where: int | None) -> str:
    tier = "" if where is None else f" above {where}"
    return f" ({variant})" + tier if variant else tier


def _completed(terms: Terms, standard: Terms) -> Terms:
    """With the standard price, tiers and all, of whatever the service class does not name."""
    tiers: Tiers = {above: dict(prices) for above, prices in terms.tiers.items()}
    for above, prices in standard.tiers.items():
        for name, price in prices.items():
            if name not in terms.prices:
                tiers.setdefault(above, {}).setdefault(name, price)
    return Terms({**standard.prices, **terms.prices}, tiers)


def _lifted(terms: Terms, factor: Decimal) -> Terms:
    """Token prices times the factor of a place; prices per call stay."""

    def lift(prices: Prices) -> Prices:
        return {n: p if "per_" in n else EXACT.multiply(p, factor) for n, p in prices.items()}

    return Terms(lift(terms.prices), {above: lift(p) for above, p in terms.tiers.items()})


def _row(
    offers: list[Offer], variant: str, terms: Terms, since: str | None, until: str | None
) -> JsonObject:
    row: JsonObject = {
        "provider": offers[0].provider,
        "model": offers[0].model,
        "source": sorted(offer.source for offer in offers),
        "confidence": "high" if len(offers) > 1 else "medium",
        "prices": _texts(terms.prices),
        **_CONDITIONS[variant],
    }
    if terms.tiers:
        row["tiers"] = [
            {"input_tokens_above": above, **_texts(prices)}
            for above, prices in sorted(terms.tiers.items())
        ]
    if since:
        row["effective_from"] = f"{since}T00:00:00.000000Z"
    if until:
        row["effective_to"] = f"{until}T00:00:00.000000Z"
    return row


def _texts(prices: Prices) -> dict[str, str]:
    return {name: text_of(price) for name, price in sorted(prices.items())}
