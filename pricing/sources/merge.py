"""Merges what the sources say about one model into rows.

All agree, or one alone speaks: in. They contradict each other: what a person decided about the
model counts; else what more of them say than anything else, if at least two do; else what a person
decided about the provider; else the class stays out and the contradiction is reported. Only
sources that agree on the standard price are heard on the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from domain.events.base import JsonObject
from domain.money import text_of
from pricing.sources.decisions import Decision, Decisions
from pricing.sources.offer import STANDARD, Class, Offer, Prices, Terms, Tiers, Window

TIERS: Final = "tiers"
_BOTH: Final = 2
_PLACES: Final = frozenset({"region", "deployment_type"})


@dataclass(slots=True)
class Merged:
    """Rows of one model, without id and number, and what was left out or outvoted."""

    rows: list[JsonObject] = field(default_factory=list)
    seen: str | None = None
    """The last day on which a source saw the standard price."""
    conflicts: list[str] = field(default_factory=list)
    """Contradictions that nobody has decided: left out."""
    settled: list[str] = field(default_factory=list)
    """Contradictions that a decision or a majority settled."""


@dataclass(slots=True)
class _Settled:
    """What counts in one class, who tells it, and from when to when."""

    terms: Terms
    tellers: list[Offer]
    since: str | None = None
    until: str | None = None
    why: str = ""
    """What settled a contradiction."""


def merged(offers: list[Offer], decisions: Decisions) -> Merged:
    """The rows of one model, the past first; none without a standard price."""
    result = Merged()
    if not offers:
        return result
    rulings = decisions.about(offers[0].provider, offers[0].model)
    _flatten(offers, rulings)
    moving = next((ruling for ruling in rulings if ruling.newest), None)
    timeline = _observed(offers, moving, result) if moving else _dated(offers, rulings, result)
    if not timeline or not _whole(timeline[-1].terms):
        return result
    *past, now = timeline
    heard = now.tellers
    result.seen = max((offer.as_of for offer in heard if offer.as_of), default=None)
    result.rows += [_row(each, STANDARD, each.terms) for each in past if _whole(each.terms)]
    wholes: dict[Class, Terms] = {}
    for klass in sorted({klass for offer in heard for klass in offer.terms}, key=_order):
        settled = now if klass == STANDARD else _settle(heard, klass, rulings, result)
        if settled is not None:
            settled.since = now.since
            whole = _completed(settled.terms, _base(heard, klass, now.terms))
            wholes[klass] = whole
            if whole != wholes.get(_anywhere(klass)) or klass == _anywhere(klass):
                result.rows.append(_row(settled, klass, whole))
                result.rows += _lifted(settled, klass, whole)
    result.rows += _announced(heard)
    return result


def _whole(terms: Terms) -> bool:
    return {"input", "output"} <= set(terms.prices)


def _flatten(offers: list[Offer], rulings: list[Decision]) -> None:
    for offer in offers:
        if any(ruling.flatten == offer.source.partition(" ")[0] for ruling in rulings):
            for terms in offer.terms.values():
                terms.tiers.clear()


def _dated(offers: list[Offer], rulings: list[Decision], result: Merged) -> list[_Settled]:
    """The standard price now, after what a source that tells it says of the past."""
    now = _settle(offers, STANDARD, rulings, result)
    if now is None:
        return []
    now.since = min((offer.since for offer in now.tellers if offer.since), default=None)
    past = [
        _Settled(terms, [offer], start, end)
        for offer in now.tellers
        if offer.since == now.since
        for start, end, terms in offer.before
    ]
    return [*past, now]


def _observed(offers: list[Offer], moving: Decision, result: Merged) -> list[_Settled]:
    """What each source saw, in the order of the days: the next one that differs ends the last."""
    sights = [
        (start or "", offer.source, terms, offer)
        for offer in offers
        for start, terms in [
            *((start, terms) for start, _, terms in offer.before),
            (offer.observed, offer.standard),
        ]
        if _whole(terms)
    ]
    timeline: list[_Settled] = []
    for day, _, terms, offer in sorted(sights, key=lambda sight: sight[:2]):
        last = timeline[-1] if timeline else None
        if last is not None and not _differing([last.terms, terms]):
            last.terms = _union([last.terms, terms], frozenset())
            last.tellers.append(offer)
            last.since = last.since or day or None
        else:
            if last is not None:
                last.until = day
            timeline.append(_Settled(_union([terms], frozenset()), [offer], day or None))
    contradicted = _differing([offer.standard for offer in offers])
    if contradicted:
        result.settled.append(f"{_described(offers, STANDARD, contradicted)}: {moving.reason}")
    return _with_a_beginning(timeline)


def _with_a_beginning(timeline: list[_Settled]) -> list[_Settled]:
    """Calls before the first dated price are charged at the earliest that is known."""
    if not timeline or timeline[0].since is None:
        return timeline
    first = timeline[0]
    return [_Settled(first.terms, first.tellers, None, first.since), *timeline]


def _settle(
    offers: list[Offer], klass: Class, rulings: list[Decision], result: Merged
) -> _Settled | None:
    tellers = [offer for offer in offers if klass in offer.terms and offer.terms[klass].prices]
    contradicted = _contradicted(tellers, klass)
    if not contradicted:
        return _told(tellers, klass) if tellers else None
    what = _described(tellers, klass, contradicted)
    named = [ruling for ruling in rulings if ruling.names_models]
    settled = (
        _ruled(named, tellers, klass, contradicted)
        or _majority(tellers, klass)
        or _ruled(rulings, tellers, klass, contradicted)
    )
    if settled is None:
        result.conflicts.append(what)
    else:
        result.settled.append(f"{what}: {settled.why}")
    return settled


def _ruled(
    rulings: list[Decision], tellers: list[Offer], klass: Class, contradicted: frozenset[str]
) -> _Settled | None:
    for ruling in rulings:
        if ruling.settles(contradicted):
            best = ruling.best(tellers)
            if best is not None:
                return _told(_agreeing(best, tellers, klass), klass, why=ruling.reason)
            if ruling.omit:
                return _told(tellers, klass, contradicted, why=ruling.reason)
    return None


def _majority(tellers: list[Offer], klass: Class) -> _Settled | None:
    """What at least two say and no equally many say otherwise."""
    groups = sorted((_agreeing(each, tellers, klass) for each in tellers), key=len)
    most = groups[-1]
    if len(most) < _BOTH or any(len(g) == len(most) and g != most for g in groups):
        return None
    return _told(most, klass, why=f"{len(most)} of {len(tellers)} agree")


def _told(
    tellers: list[Offer], klass: Class, omitted: frozenset[str] = frozenset(), *, why: str = ""
) -> _Settled:
    terms = _union([offer.terms[klass] for offer in tellers], omitted)
    return _Settled(terms, tellers, why=why)


def _contradicted(tellers: list[Offer], klass: Class) -> frozenset[str]:
    return _differing([offer.terms[klass] for offer in tellers])


def _differing(told: list[Terms]) -> frozenset[str]:
    """The prices that are told differently, and `tiers` where only some have a threshold."""
    figures: dict[tuple[int, str], set[str]] = {}
    for terms in told:
        for level, prices in _levels(terms):
            for name, price in prices.items():
                figures.setdefault((level, name), set()).add(text_of(price))
    names = {name for (_, name), values in figures.items() if len(values) > 1}
    thresholds = {frozenset(terms.tiers) for terms in told}
    return frozenset(names | ({TIERS} if len(thresholds) > 1 else set()))


def _agreeing(best: Offer, tellers: list[Offer], klass: Class) -> list[Offer]:
    """The best and all that contradict neither it nor each other, in the order told."""
    agreeing = [best]
    for offer in tellers:
        if offer is not best and not _contradicted([*agreeing, offer], klass):
            agreeing.append(offer)
    return [offer for offer in tellers if offer in agreeing]


def _union(told: list[Terms], omitted: frozenset[str]) -> Terms:
    whole = Terms()
    for terms in told:
        for level, prices in _levels(terms):
            ours = whole.tiers.setdefault(level, {}) if level else whole.prices
            ours.update({n: price for n, price in prices.items() if n not in omitted})
        whole.windows = whole.windows or terms.windows
    return whole


def _levels(terms: Terms) -> Iterator[tuple[int, Prices]]:
    yield 0, terms.prices
    yield from terms.tiers.items()


def _described(tellers: list[Offer], klass: Class, contradicted: Iterable[str]) -> str:
    """Provider, model, class, and what each source says of what is contradicted."""
    label = " ".join(str(value) if value is not True else name for name, value in klass)
    first = tellers[0]
    parts = []
    for offer in tellers:
        terms = offer.terms[klass]
        said = []
        for name in sorted(contradicted):
            levels = ((level, prices.get(name)) for level, prices in _levels(terms))
            figures = [
                f"{text_of(p)}>{at}" if at else text_of(p) for at, p in levels if p is not None
            ]
            if name == TIERS:
                figures = [str(each) for each in sorted(terms.tiers)] or ["none"]
            if figures:
                said.append(f"{name} {' '.join(figures)}")
        parts.append(f"{offer.source}: {', '.join(said)}")
    return f"{first.provider} {first.model}{f' ({label})' if label else ''}: {'; '.join(parts)}"


def _announced(heard: list[Offer]) -> Iterator[JsonObject]:
    """What the first source that dates the future says of it."""
    tellers = [offer for offer in heard if offer.announced][:1]
    for offer in tellers:
        for day, terms in offer.announced:
            yield _row(_Settled(terms, [offer], day), STANDARD, terms)


def _anywhere(klass: Class) -> Class:
    """The class without its place: what a call falls back to where the place has no row."""
    return tuple(each for each in klass if each[0] not in _PLACES)


def _base(heard: list[Offer], klass: Class, standard: Terms) -> Terms:
    """What a class falls back to: the standard terms of its place, if the place has some."""
    place = tuple(each for each in klass if each[0] in _PLACES)
    told = [offer for offer in heard if place in offer.terms]
    if place in {STANDARD, klass} or not told:
        return standard
    return _completed(_told(told, place).terms, standard)


def _completed(terms: Terms, standard: Terms) -> Terms:
    """With the standard price, tiers and all, of whatever the class does not name."""
    tiers: Tiers = {above: dict(prices) for above, prices in terms.tiers.items()}
    for above, prices in standard.tiers.items():
        for name, price in prices.items():
            if name not in terms.prices:
                tiers.setdefault(above, {}).setdefault(name, price)
    return Terms({**standard.prices, **terms.prices}, tiers, terms.windows)


def _lifted(settled: _Settled, klass: Class, whole: Terms) -> Iterator[JsonObject]:
    uplifts = {p: factor for offer in settled.tellers for p, factor in offer.uplifts.items()}
    for place, factor in sorted(uplifts.items()):
        row = _row(settled, (*klass, place), whole.lifted(factor))
        yield {**row, "confidence": "medium"}


def _row(settled: _Settled, klass: Class, terms: Terms) -> JsonObject:
    sources = sorted({offer.source for offer in settled.tellers})
    row: JsonObject = {
        "provider": settled.tellers[0].provider,
        "model": settled.tellers[0].model,
        "source": sources,
        "confidence": "high" if len(sources) > 1 else "medium",
        "prices": _texts(terms.prices),
        **dict(klass),
    }
    if terms.tiers:
        row["tiers"] = [
            {"input_tokens_above": above, **_texts(prices)}
            for above, prices in sorted(terms.tiers.items())
        ]
    if terms.windows:
        row["time_overrides"] = [_override(window) for window in terms.windows]
    if settled.since:
        row["effective_from"] = f"{settled.since}T00:00:00.000000Z"
    if settled.until:
        row["effective_to"] = f"{settled.until}T00:00:00.000000Z"
    return row


def _override(window: Window) -> JsonObject:
    days, hours, prices = window
    return {"utc_days": list(days), "utc_windows": list(hours), **_texts(prices)}


def _order(klass: Class) -> tuple[int, str]:
    return len(klass), repr(klass)


def _texts(prices: Prices) -> dict[str, str]:
    return {name: text_of(price) for name, price in sorted(prices.items())}
