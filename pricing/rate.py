"""Rating: the one pure function from a call and a price book to what the call costs.

The same function makes the receipt, the projection and the proof. It reads nothing but its
arguments, never rounds, and answers for every call: unknown is a status, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.money import PROVIDER_COST_PLACES, ZERO, Money
from domain.usage import Usage, check_usage
from pricing.book import PriceBook, best_first, price_provider
from pricing.cost import Component, Cost, cost_of
from pricing.paid_version import Candidate, Setting, paid_version
from pricing.row import Conditions, Row

Status = Literal["priced", "free_model", "no_paid_equivalent", "unrated", "unrated_units"]

REPORTED_PREFERRED: Final[Mapping[str, tuple[str, ...]]] = {
    "openrouter": ("",),
    "vercel": ("google/",),
}
"""Where the provider's own figure beats the list: provider → how the models' names begin.

OpenRouter's prices change by the hour. Vercel's usage on Gemini routes leaves the reasoning out;
on its other routes the list decides, because for gpt-5 its figure counts reasoning twice.
"""
_ORDER: Final[tuple[Status, ...]] = ("free_model", "priced", "no_paid_equivalent")
"""Of several parts, the first status that any of them has speaks for all."""
_NO_COUNTS: Final = "no_token_counts"
_AT_COST: Final = frozenset({"total", "upstream"})
"""Meanings of a provider's figure that are what the call cost; a gateway's fee is not."""


class Call(NamedTuple):
    """What rating needs to know of a call."""

    provider: str
    served: str | None
    """The model that the provider says has answered."""
    otherwise: tuple[str | None, ...]
    """Names to look for when that one has no price: as deployed, then as asked."""
    at: datetime
    usage: Usage
    conditions: Conditions
    provider_cost: Mapping[str, object] | None = None
    """{amount, meaning}: what the provider says the call cost."""

    @property
    def models(self) -> list[str]:
        """The names to look for, in order."""
        return [name for name in (self.served, *self.otherwise) if name]


class Reference(NamedTuple):
    """The price that an at-cost figure was taken from."""

    rule: str
    """listed, reported, same-provider-first or lowest."""
    provider: str
    model: str
    price_rows: tuple[str, ...]


class Rating(NamedTuple):
    """What a call costs, and how we know."""

    status: Status
    at_cost: Money | None
    model: str
    """The name that the rating went by; the first one when none has a row."""
    reference: Reference | None = None
    components: tuple[Component, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """Paid versions of a free model, the chosen one among them."""
    unrated_units: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is particular about it, in the words of docs/pricing.md."""
    reported: Money | None = None
    """What the provider says that the call cost, whether or not that is the at-cost amount."""
    listed: Money | None = None
    """What the list says, kept beside `reported`."""


def rate(call: Call, book: PriceBook, *, reference: Setting) -> Rating:
    """Rate one call. Raises InconsistentUsage; everything else has a status."""
    check_usage(call.usage)
    listed = _by_list(call, book, reference)
    reported = _reported(call)
    if reported is None:
        return listed
    if not _prefers_reported(call):
        return listed._replace(reported=reported, listed=listed.at_cost)
    named = Reference("reported", call.provider, listed.model, ())
    whole = Component("requests", 1, "reported", reported.usd, reported, None)
    return Rating(
        "priced",
        reported,
        listed.model,
        named,
        (whole,),
        reported=reported,
        listed=listed.at_cost,
    )


def _by_list(call: Call, book: PriceBook, reference: Setting) -> Rating:
    model, rows = _find_rows(call, book)
    row = _first_live(rows or (), call.at)
    if row is None:
        why = "unknown_model" if rows is None else "unknown_service_class"
        return Rating("unrated", None, model, notes=(why,))
    if row.free:
        return _free(call, book, reference, model, row)
    cost = cost_of(row, call.usage, call.at)
    return _listed(call, model, cost)


def rate_parts(
    call: Call, parts: Sequence[JsonObject], book: PriceBook, *, reference: Setting
) -> tuple[Rating, tuple[Rating, ...]]:
    """Rate a call that may have used several models: [{model, usage}], each rated by itself.

    The rating of the whole is named after the main model; a figure that the provider reported
    for the whole needs no parts.
    """
    whole = rate(call, book, reference=reference)
    if not parts or (whole.reference is not None and whole.reference.rule == "reported"):
        return whole, ()
    rated = tuple(rate(_part(call, part), book, reference=reference) for part in parts)
    unrated = _once(
        unit for part, made in zip(parts, rated, strict=True) for unit in _unrated(part, made)
    )
    return _sum(whole, rated, unrated), rated


def _find_rows(call: Call, book: PriceBook) -> tuple[str, Sequence[Row] | None]:
    """The first name that has a row in force, with the rows that fit the call, the best first.

    Without any such name, the first one and None.
    """
    for model in call.models:
        if _first_live(book.rows_of(call.provider, model), call.at) is not None:
            return model, book.fitting(call.provider, model, call.conditions)
        canonical = book.canonical(call.provider, model)
        keyed = _of_provider(book, call, canonical) if canonical is not None else ()
        if keyed:
            return model, best_first(keyed, call.conditions)
    return next(iter(call.models), ""), None


def _first_live(rows: Iterable[Row], at: datetime) -> Row | None:
    for row in rows:
        if row.live(at):
            return row
    return None


def _of_provider(book: PriceBook, call: Call, canonical: str) -> Sequence[Row]:
    """Rows in force of the model that stands for a canonical name at the provider of the call.

    Several ids may bear the name (dated snapshots, a free twin): a paid one stands for it before
    a free one, then the shortest id, which is the undated one, then the first by the alphabet.
    """
    owner = price_provider(call.provider)
    named = book.rows_of_key(canonical)
    rows = [row for row in named if row.provider == owner and row.live(call.at)]
    ids = {row.model for row in rows if not row.free} or {row.model for row in rows}
    stands = min(ids, key=lambda name: (len(name), name), default=None)
    return [row for row in rows if row.model == stands]


def _reported(call: Call) -> Money | None:
    """The provider's own figure, if it is above zero and what the call cost."""
    if call.provider_cost is None:
        return None
    amount = call.provider_cost.get("amount")
    if call.provider_cost.get("meaning") not in _AT_COST or not isinstance(amount, str):
        return None
    try:
        cost = Money.parse(amount, places=PROVIDER_COST_PLACES, what="provider_cost")
    except BadValue:
        return None
    return cost if cost > ZERO else None


def _prefers_reported(call: Call) -> bool:
    beginnings = REPORTED_PREFERRED.get(call.provider, ())
    return any(model.startswith(beginnings) for model in call.models)


def _listed(call: Call, model: str, cost: Cost) -> Rating:
    row = cost.row
    named = Reference("listed", row.provider, row.model, (row.id,))
    notes = _notes(call, cost)
    unrated = (*_untold(call.usage), *cost.unpriced)
    if not unrated:
        return Rating("priced", cost.total, model, named, cost.components, notes=notes)
    if not any(component.quantity for component in cost.components):
        return Rating("unrated", None, model, unrated_units=unrated, notes=notes)
    return Rating("unrated_units", cost.total, model, named, cost.components, (), unrated, notes)


def _free(call: Call, book: PriceBook, setting: Setting, model: str, row: Row) -> Rating:
    """The free-model rule: charged on the lowest rate of its paid version."""
    unknown = _untold(call.usage)
    if unknown:
        return Rating("unrated", None, model, unrated_units=unknown, notes=(_NO_COUNTS,))
    chosen, candidates = paid_version(book, row, call.usage, call.at, setting=setting)
    unpriced = [each for each in candidates if each.lost == "unpriced_units"]
    if chosen is None and unpriced:
        return Rating("unrated", None, model, None, (), candidates, unpriced[0].unpriced_units)
    if chosen is None:
        named = Reference("listed", row.provider, row.model, (row.id,))
        return Rating("no_paid_equivalent", ZERO, model, named, candidates=candidates)
    named = Reference(setting, chosen.row.provider, chosen.row.model, (chosen.row.id,))
    return Rating(
        "unrated_units" if chosen.unpriced else "free_model",
        chosen.total,
        model,
        named,
        chosen.components,
        candidates,
        chosen.unpriced,
        _notes(call, chosen),
    )


def _untold(usage: Usage) -> tuple[str, ...]:
    """A call without any token count used an unknown number of them: that is not none."""
    if "input_tokens" in usage or "output_tokens" in usage:
        return ()
    return "input_tokens", "output_tokens"


def _notes(call: Call, cost: Cost) -> tuple[str, ...]:
    notes = []
    if call.usage.get("cache_write_tokens"):
        notes.append("untold_cache_writes_at_5m")
    if _untold(call.usage):
        notes.append(_NO_COUNTS)
    if cost.tier is not None:
        notes.append(f"input_above_{cost.tier}")
    return tuple(notes)


def _part(call: Call, part: JsonObject) -> Call:
    return call._replace(served=part.get("model"), usage=part["usage"], provider_cost=None)


def _unrated(part: JsonObject, made: Rating) -> tuple[str, ...]:
    """The units of a part that have no price: those named, or all where its model has none."""
    if made.unrated_units or made.at_cost is not None:
        return made.unrated_units
    return tuple(unit for unit, count in part["usage"].items() if count)


def _sum(main: Rating, parts: Sequence[Rating], unrated: tuple[str, ...]) -> Rating:
    """One rating for a request that used several models, named after the main one."""
    priced = [part for part in parts if part.at_cost is not None]
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
