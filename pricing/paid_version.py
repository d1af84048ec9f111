"""The free-model rule: which paid version of a free model a call is charged by (PRICES.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from domain.errors import BadValue
from domain.money import EXACT, Money
from domain.usage import Usage
from pricing.book import PriceBook
from pricing.cost import Cost, cost_of
from pricing.names import SERVICE_CLASSES
from pricing.row import Row

Setting = Literal["same-provider-first", "lowest"]

FRESH_FOR: Final = timedelta(days=45)
OUTLIERS_FROM: Final = 3
_SPREAD: Final = Decimal(4)
_TWO: Final = Decimal(2)
_SANDBOX: Final = "sandbox"
_NEVER: Final = frozenset({_SANDBOX, "hyperbolic"})
"""Play money, and a list that has not changed since 2025: no reference for other providers."""
_DATED_ONLY: Final = frozenset({"openrouter", "vercel"})
"""Routers whose prices move: a reference for other providers only where a row says since when."""

Lost = Literal[
    "higher",
    "other_provider",
    "unpriced_units",
    "deprecated",
    "moving_name",
    "service_class",
    "undated",
    "stale",
    "outlier",
]
"""Why a candidate lost; docs/pricing.md says each in words."""


class Candidate(NamedTuple):
    """A paid version that was considered, and why it lost."""

    provider: str
    model: str
    row: str
    total: Money | None
    """What this very call would have cost there; None where a unit has no price there."""
    lost: Lost | None
    """None for the chosen one."""
    unpriced_units: tuple[str, ...] = ()


def setting_of(text: str) -> Setting:
    """Read a reference setting. Raises BadValue."""
    if text == "same-provider-first":
        return "same-provider-first"
    if text == "lowest":
        return "lowest"
    raise BadValue('reference is "same-provider-first" or "lowest"', param="reference")


def paid_version(
    book: PriceBook, free: Row, usage: Usage, at: datetime, *, setting: Setting
) -> tuple[Cost | None, tuple[Candidate, ...]]:
    """The paid version with the lowest total for this very usage, and all that were considered.

    `same-provider-first` looks at other providers only when the own one has no paid version. One
    that has no price for a unit that was used is chosen only where none has a price for all: what
    it prices is charged then, and the rest is named (docs/decisions/0054).
    """
    judged = [
        _Judged(cost, _excluded(book, cost, at, own=cost.row.provider == free.provider))
        for cost in _costs(book, free, usage, at)
    ]
    own = [each for each in judged if each.cost.row.provider == free.provider]
    stages = [own, judged] if setting == "same-provider-first" else [judged]
    for fits in (_prices_all, _prices_some):
        for stage in stages:
            chosen, named = _lowest(stage, fits)
            if chosen is not None:
                if stage is own:
                    others = [each for each in judged if each.cost.row.provider != free.provider]
                    named += map(_outside, others)
                return chosen.cost, _candidates(named)
    return None, _candidates(_lowest(judged, _prices_all)[1])


def _prices_all(cost: Cost) -> bool:
    return not cost.unpriced


def _prices_some(cost: Cost) -> bool:
    return any(component.quantity for component in cost.components)


class _Judged(NamedTuple):
    cost: Cost
    lost: Lost | None

    @property
    def rank(self) -> tuple[Decimal, str, str]:
        return self.cost.total.usd, self.cost.row.provider, self.cost.row.model


def _costs(book: PriceBook, free: Row, usage: Usage, at: datetime) -> Iterable[Cost]:
    """What the call costs at the standard row of each model of that canonical name."""
    standing: dict[tuple[str, str], Row] = {}
    for row in book.standard_rows_of_key(free.canonical):
        if row.live(at) and _may_refer(row, free):
            standing[row.provider, row.model] = row
    for row in standing.values():
        if not row.free:
            yield cost_of(row, usage, at)


def _may_refer(row: Row, free: Row) -> bool:
    """Sandbox calls are charged by sandbox rows, all others never by them."""
    if free.provider == _SANDBOX:
        return row.provider == _SANDBOX
    return row.provider not in _NEVER


def _excluded(book: PriceBook, cost: Cost, at: datetime, *, own: bool) -> Lost | None:
    """Why this can never be the lowest, whatever the others cost."""
    row = cost.row
    if book.deprecated(row, at):
        return "deprecated"
    name, _, variant = row.model.partition(":")
    if name.endswith("-latest"):
        return "moving_name"
    if variant in SERVICE_CLASSES:
        return "service_class"
    if row.provider in _DATED_ONLY and not own and row.effective_from is None:
        return "undated"
    seen = book.last_seen(row)
    if seen is not None and book.newest is not None and book.newest - seen > FRESH_FOR:
        return "stale"
    return None


def _lowest(
    stage: Sequence[_Judged], fits: Callable[[Cost], bool]
) -> tuple[_Judged | None, list[_Judged]]:
    left: list[_Judged] = []
    judged: list[_Judged] = []
    for each in stage:
        if each.lost is None and fits(each.cost):
            left.append(each)
        else:
            judged.append(each if each.lost else _Judged(each.cost, "unpriced_units"))
    if len(left) >= OUTLIERS_FROM:
        median = _median([each.cost.total.usd for each in left])
        low, high = EXACT.divide(median, _SPREAD), EXACT.multiply(median, _SPREAD)
        marked = [
            each if low <= each.cost.total.usd <= high else _Judged(each.cost, "outlier")
            for each in left
        ]
        left = [each for each in marked if each.lost is None]
        judged += [each for each in marked if each.lost is not None]
    chosen = min(left, key=lambda each: each.rank, default=None)
    judged += [each if each is chosen else _Judged(each.cost, "higher") for each in left]
    return chosen, judged


def _median(totals: Sequence[Decimal]) -> Decimal:
    ordered = sorted(totals)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return EXACT.divide(EXACT.add(ordered[middle - 1], ordered[middle]), _TWO)


def _outside(judged: _Judged) -> _Judged:
    whole: Lost = "other_provider" if _prices_all(judged.cost) else "unpriced_units"
    return _Judged(judged.cost, judged.lost or whole)


def _candidates(judged: Iterable[_Judged]) -> tuple[Candidate, ...]:
    ordered = sorted(judged, key=lambda each: each.rank)
    return tuple(
        Candidate(
            each.cost.row.provider,
            each.cost.row.model,
            each.cost.row.id,
            None if each.cost.unpriced else each.cost.total,
            each.lost,
            each.cost.unpriced,
        )
        for each in ordered
    )
