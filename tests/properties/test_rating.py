"""Laws of rating, over generated rows and usage."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from domain.money import EXACT, text_of
from domain.usage import InconsistentUsage
from pricing.book import PriceBook, book_of
from pricing.rate import Rating
from pricing.row import PRICES
from tests.pricing.build import NAMES, rated, row

TOKEN_PRICES = [name for name in PRICES if "per_" not in name]
price_texts = st.integers(0, 10**12).map(lambda units: text_of(EXACT.scaleb(Decimal(units), -9)))
full_prices = st.fixed_dictionaries(dict.fromkeys(PRICES, price_texts))
some_prices = st.dictionaries(st.sampled_from(TOKEN_PRICES), price_texts)
counts = st.integers(0, 10**7)
PARTS = ("cached", "write_5m", "write_1h", "write", "audio", "image")


@st.composite
def usages(draw: st.DrawFn) -> dict[str, int]:
    """Consistent usage: parts are drawn first, wholes are at least their sums."""
    cached_audio = draw(counts)
    usage = {
        "cached_audio_tokens": cached_audio,
        "cached_input_tokens": cached_audio + draw(counts),
        "cache_write_5m_tokens": draw(counts),
        "cache_write_1h_tokens": draw(counts),
        "cache_write_tokens": draw(counts),
        "input_audio_tokens": draw(counts),
        "input_image_tokens": draw(counts),
    }
    inside = sum(usage.values()) - cached_audio
    usage["input_tokens"] = inside + draw(counts)
    audio, image, reasoning = draw(counts), draw(counts), draw(counts)
    usage |= {"output_audio_tokens": audio, "output_image_tokens": image}
    usage |= {"reasoning_tokens": reasoning, "output_tokens": audio + image + reasoning}
    usage["output_tokens"] += draw(counts)
    usage |= {"web_search_calls": draw(st.integers(0, 50)), "requests": draw(st.integers(0, 2))}
    return usage


def paid(prices: dict[str, str], **more: Any) -> PriceBook:
    assume(any(Decimal(price) for price in prices.values()))
    return book_of([row(prices=prices, **more)], key=NAMES.key)


def cost(prices: PriceBook, usage: dict[str, int]) -> Fraction:
    at_cost = rated(prices, usage).at_cost
    assert at_cost is not None
    return Fraction(at_cost.usd)


@given(full_prices, usages(), usages())
def test_two_calls_cost_what_both_cost_together(
    prices: dict[str, str], one: dict[str, int], other: dict[str, int]
) -> None:
    book = paid(prices)
    both = {unit: one[unit] + other[unit] for unit in one}
    assert cost(book, both) == cost(book, one) + cost(book, other)


@given(full_prices, usages())
def test_the_units_of_a_call_cost_what_they_cost_alone(
    prices: dict[str, str], usage: dict[str, int]
) -> None:
    book = paid(prices)
    rating = rated(book, usage)
    alone = Fraction(0)
    for part in rating.components:
        single = {part.unit: part.quantity}
        if part.unit in {"cached_input_tokens", "cached_audio_tokens"}:
            single = {"cached_input_tokens": part.quantity, "input_tokens": part.quantity, **single}
        elif part.unit.startswith(("cache_write", "input_")):
            single["input_tokens"] = part.quantity
        elif part.unit.startswith(("output_", "reasoning")):
            single["output_tokens"] = part.quantity
        else:
            single["input_tokens"] = 0
        single.setdefault("requests", 0)
        alone += cost(book, single)
    assert alone == cost(book, usage)


@given(full_prices, usages(), st.sampled_from(["input_tokens", "output_tokens"]), counts)
def test_more_use_never_costs_less(
    prices: dict[str, str], usage: dict[str, int], whole: str, more: int
) -> None:
    book = paid(prices)
    assert cost(book, {**usage, whole: usage[whole] + more}) >= cost(book, usage)


@given(full_prices, usages(), st.sampled_from(TOKEN_PRICES))
def test_a_higher_price_never_makes_a_call_cheaper(
    prices: dict[str, str], usage: dict[str, int], name: str
) -> None:
    higher = text_of(EXACT.add(Decimal(prices[name]), Decimal(1)))
    assert cost(paid({**prices, name: higher}), usage) >= cost(paid(prices), usage)


@given(full_prices, usages(), st.integers(1, 10**6).map(lambda n: EXACT.scaleb(Decimal(n), -3)))
def test_a_multiplier_scales_the_whole(
    prices: dict[str, str], usage: dict[str, int], multiplier: Decimal
) -> None:
    scaled = paid(prices, multiplier=text_of(multiplier))
    assert cost(scaled, usage) == cost(paid(prices), usage) * Fraction(multiplier)


def same(one: Rating, other: Rating) -> bool:
    """Equal but for the numbers of rows, which say where in the book they stand."""
    return (one.status, one.at_cost, one.unrated_units) == (
        *(other.status, other.at_cost),
        other.unrated_units,
    )


VARIANTS: list[dict[str, Any]] = [
    {},
    {"service_tier": "flex"},
    {"service_tier": "priority"},
    {"batch": True},
    {"region": "eu"},
    {"inference_geo": "us"},
    {"region": "eu", "deployment_type": "zone"},
]


@given(
    st.lists(full_prices, min_size=len(VARIANTS), max_size=len(VARIANTS)),
    usages(),
    st.sampled_from(VARIANTS),
    st.permutations(range(len(VARIANTS))),
)
def test_the_order_of_rows_with_different_conditions_is_nothing(
    prices: list[dict[str, str]], usage: dict[str, int], context: dict[str, Any], order: list[int]
) -> None:
    rows = [row(prices=p, **v) for p, v in zip(prices, VARIANTS, strict=True)]
    one = rated(book_of(rows, key=NAMES.key), usage, context=context)
    other = rated(book_of([rows[i] for i in order], key=NAMES.key), usage, context=context)
    assert same(one, other)


@given(
    st.lists(some_prices, min_size=1, max_size=6),
    usages(),
    st.sampled_from(["same-provider-first", "lowest"]),
    st.randoms(use_true_random=False),
)
def test_the_order_of_candidates_is_nothing(
    prices: list[dict[str, str]], usage: dict[str, int], setting: Any, random: Any
) -> None:
    rows = [row(f"q{i}", "m", prices=p, id=f"r{i}") for i, p in enumerate(prices)]
    rows.append(row("p", "m", prices={}, id="free"))
    shuffled = list(rows)
    random.shuffle(shuffled)
    one = rated(book_of(rows, key=NAMES.key), usage, reference=setting)
    other = rated(book_of(shuffled, key=NAMES.key), usage, reference=setting)
    assert one == other
    if one.at_cost is not None and one.status == "free_model":
        left = [each.total for each in one.candidates if each.lost in {None, "higher"}]
        assert one.at_cost == min(total for total in left if total is not None)


@given(some_prices, usages(), st.integers(1, 9), st.sampled_from(sorted(vars(decimal))))
def test_the_ambient_decimal_context_changes_nothing(
    prices: dict[str, str], usage: dict[str, int], precision: int, mode: str
) -> None:
    book = paid(prices)
    expected = rated(book, usage)
    with decimal.localcontext() as context:
        context.prec = precision
        context.rounding = mode if mode.startswith("ROUND_") else decimal.ROUND_UP
        fresh = paid(prices)
        assert rated(fresh, usage) == expected


@given(full_prices, full_prices, usages())
def test_what_is_added_later_changes_no_earlier_book(
    first: dict[str, str], later: dict[str, str], usage: dict[str, int]
) -> None:
    before = paid(first)
    rows = [row(prices=first), row(prices=later), row("q", prices=later)]
    after = book_of(rows, key=NAMES.key)
    assert after.prefix(1).hash == before.hash
    assert rated(after.open_book(before.hash), usage) == rated(before, usage)


@given(some_prices, st.dictionaries(st.sampled_from(["input_tokens", *TOKEN_PRICES]), counts))
def test_unknown_units_and_impossible_counts_are_refused_never_zero(
    prices: dict[str, str], usage: dict[str, int]
) -> None:
    assume(set(usage) - {"input_tokens"})
    try:
        rated(paid(prices), usage)
    except InconsistentUsage:
        return
    raise AssertionError("a unit that does not exist was rated")


@given(full_prices, usages(), st.sampled_from(["input_tokens", "output_tokens"]))
def test_a_whole_below_its_parts_is_refused(
    prices: dict[str, str], usage: dict[str, int], whole: str
) -> None:
    start = "output_" if whole == "output_tokens" else ("cach", "input_")
    parts = [n for u, n in usage.items() if u.startswith(start) and u != whole]
    assume(sum(parts) - usage["cached_audio_tokens"] * (whole == "input_tokens") > 0)
    try:
        rated(paid(prices), {**usage, whole: 0})
    except InconsistentUsage:
        return
    raise AssertionError("inconsistent usage was rated")
