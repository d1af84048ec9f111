"""Tables about the price book: what it covers, and what becomes of free models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pricing.book import PriceBook
from pricing.rate import Call, rate
from pricing.row import STANDARD, Row
from pricing.sources.hosts import HOSTS
from pricing.sources.offer import Source

_SAMPLE: Final = {"input_tokens": 1000, "output_tokens": 500}
"""A call that every paid version can price."""


@dataclass(frozen=True, slots=True)
class FreeModel:
    """A free offering, and whose price a call of it is charged by."""

    provider: str
    model: str
    paid_at: str | None
    """The provider of the paid version; None when there is none."""
    why_not: str
    """Why no paid version counts; empty when one does."""


def free_models(book: PriceBook, at: datetime) -> list[FreeModel]:
    """Every free (provider, model) pair of the book, by the rule `same-provider-first`."""
    found = []
    for provider in HOSTS:
        for model in book.models(provider):
            row = standing(book, provider, model, at)
            if row is not None and row.free:
                found.append(_resolved(book, provider, model, at))
    return found


def standing(book: PriceBook, provider: str, model: str, at: datetime) -> Row | None:
    """The row without conditions that is in force, if any."""
    rows = book.fitting(provider, model, STANDARD)
    return next((row for row in rows if row.live(at)), None)


def _resolved(book: PriceBook, provider: str, model: str, at: datetime) -> FreeModel:
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
        return FreeModel(provider, model, rating.reference.provider, "")
    lost = sorted({candidate.lost or "" for candidate in rating.candidates})
    return FreeModel(provider, model, None, "; ".join(lost) or "nobody sells it")


def free_table(found: Sequence[FreeModel]) -> Iterator[str]:
    """Markdown: by provider, then every pair that has no paid version."""
    yield "| provider | free | paid version at the same | at another | none |"
    yield "|---|---|---|---|---|"
    counts = [Counter[str]() for _ in range(4)]
    for each in found:
        place = 3 if each.paid_at is None else 1 if each.paid_at == each.provider else 2
        counts[0][each.provider] += 1
        counts[place][each.provider] += 1
    for provider in [*counts[0], "all"]:
        cells = [c.total() if provider == "all" else c[provider] for c in counts]
        yield f"| {provider} | {' | '.join(map(str, cells))} |"
    yield ""
    yield "| without a paid version | why |"
    yield "|---|---|"
    for each in found:
        if each.paid_at is None:
            yield f"| {each.provider} {each.model} | {each.why_not} |"


def coverage_table(book: PriceBook, sources: Sequence[Source], at: datetime) -> Iterator[str]:
    """Markdown: models priced, free and without a price, by provider, beside what sources list."""
    yield f"| provider | book: priced / free / none | rows | {' | '.join(s.label for s in sources)} |"
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


def _listed(source: Source) -> dict[str, dict[str, bool]]:
    """Provider → id → whether it is free there."""
    models: dict[str, dict[str, bool]] = {}
    for offer in source.offers():
        models.setdefault(offer.provider, {})[offer.model] = offer.free
    return models


def _cell(free: Iterable[bool]) -> str:
    each = list(free)
    return f"{len(each) - sum(each)} / {sum(each)}" if each else "–"
