"""Tables about the price book: what it covers, and what becomes of free models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pricing.book import PriceBook
from pricing.rate import Call, rate
from pricing.row import STANDARD, Row
from pricing.sources.hosts import HOSTS
from pricing.sources.offer import Source

_SAMPLE: Final = {"input_tokens": 1000, "output_tokens": 500}
"""A call that every paid version can price."""
_LATELY: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class FreeModel:
    """A free offering, and whose price a call of it is charged by."""

    provider: str
    model: str
    paid_at: str | None
    """The provider of the paid version; None when there is none."""
    why_not: str
    """Why no paid version counts; empty when one does."""
    served: bool
    """Some source saw it lately; the others are ids that were given away once."""


def free_models(book: PriceBook, sources: Iterable[Source], at: datetime) -> list[FreeModel]:
    """Every free (provider, model) pair of the book, by the rule `same-provider-first`."""
    lately = (at - _LATELY).date().isoformat()
    seen = {
        (offer.provider, offer.model)
        for source in sources
        for offer in source.offers()
        if (offer.as_of or "") >= lately
    }
    found = []
    for provider in HOSTS:
        for model in book.models(provider):
            row = standing(book, provider, model, at)
            if row is not None and row.free:
                found.append(_resolved(book, provider, model, at, (provider, model) in seen))
    return found


def standing(book: PriceBook, provider: str, model: str, at: datetime) -> Row | None:
    """The row without conditions that is in force, if any."""
    rows = book.fitting(provider, model, STANDARD)
    return next((row for row in rows if row.live(at)), None)


def _resolved(book: PriceBook, provider: str, model: str, at: datetime, served: bool) -> FreeModel:
    call = Call(
        provider=provider,
        served=model,
        otherwise=(),
        at=at,
        usage=_SAMPLE,
        conditions=STANDARD,
    )
    rating = rate(call, book, reference="same-provider-first")
    if rating.status == "free_model" and rating.reference is not None:
        return FreeModel(provider, model, rating.reference.provider, "", served)
    lost = sorted({candidate.lost or "" for candidate in rating.candidates})
    return FreeModel(provider, model, None, "; ".join(lost) or "nobody sells it", served)


def free_table(found: Sequence[FreeModel]) -> Iterator[str]:
    """Markdown: by provider, then every pair that has no paid version."""
    for title, group in (
        ("free, seen lately", [each for each in found if each.served]),
        ("free at any time", found),
    ):
        yield f"| provider | {title} | paid version at the same | at another | none |"
        yield "|---|---|---|---|---|"
        for provider in [*dict.fromkeys(each.provider for each in group), "all"]:
            here = [each for each in group if provider in {each.provider, "all"}]
            same = sum(each.paid_at == each.provider for each in here)
            none = sum(each.paid_at is None for each in here)
            yield f"| {provider} | {len(here)} | {same} | {len(here) - same - none} | {none} |"
        yield ""
    yield "| without a paid version | seen lately | why |"
    yield "|---|---|---|"
    for each in sorted(found, key=lambda each: not each.served):
        if each.paid_at is None:
            lately = "yes" if each.served else "no"
            yield f"| {each.provider} {each.model} | {lately} | {each.why_not} |"


def coverage_table(book: PriceBook, sources: Sequence[Source], at: datetime) -> Iterator[str]:
    """Markdown: models priced, free and without a price, by provider, beside what sources list."""
    labels = " | ".join(source.label for source in sources)
    yield f"| provider | book: priced / free / none | rows | {labels} |"
    yield f"|---|---|---|{'---|' * len(sources)}"
    listed = [_listed(source) for source in sources]
    for provider in HOSTS:
        models = book.models(provider)
        kept = [standing(book, provider, model, at) for model in models]
        paid = sum(row is not None and not row.free for row in kept)
        free = sum(row is not None and row.free for row in kept)
        known = {model for source in listed for model in source.get(provider, {})}
        none = len({m for m in known if book.canonical(provider, m) is None})
        rows = sum(len(book.rows_of(provider, model)) for model in models)
        theirs = [_cell(source.get(provider, {}).values()) for source in listed]
        yield f"| {provider} | {paid} / {free} / {none} | {rows} | {' | '.join(theirs)} |"


def _listed(source: Source) -> dict[str, dict[str, str]]:
    """Provider → id → whether it is priced, free or none there."""
    models: dict[str, dict[str, str]] = {}
    for offer in source.offers():
        kind = "free" if offer.free else "priced" if offer.standard.prices else "none"
        models.setdefault(offer.provider, {})[offer.model] = kind
    return models


def _cell(kinds: Iterable[str]) -> str:
    each = list(kinds)
    if not each:
        return "–"
    return " / ".join(str(each.count(kind)) for kind in ("priced", "free", "none"))
