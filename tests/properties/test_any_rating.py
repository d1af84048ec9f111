"""Laws that hold for every call, whatever the book says: random books with every rule in them."""

from __future__ import annotations

import decimal
from contextlib import suppress
from fractions import Fraction
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.clock import parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from pricing.book import PriceBook, book_of
from pricing.paid_version import setting_of
from pricing.rate import Call, Rating, rate, rate_parts
from pricing.records import rate_record
from pricing.row import Conditions
from tests.pricing.build import NAMES
from tests.recompute.random_book import Maker

randoms = st.integers(0, 2**32).map(Random)
ROWS = 25


def some_call(make: Maker) -> Call:
    routed, used = make.routed(""), make.used()
    return Call(
        provider=routed["provider"],
        served=used["model"],
        otherwise=(used["context"].get("deployment_model"), routed["upstream_model"]),
        at=parse_instant(routed["price_at"]),
        usage=used["usage"],
        conditions=Conditions.of(used["context"]),
        provider_cost=used["provider_cost"],
    )


def rated(call: Call, book: PriceBook, random: Random) -> Rating:
    return rate(call, book, reference=setting_of(random.choice(["lowest", "same-provider-first"])))


def total(rating: Rating) -> Fraction:
    return sum((Fraction(each.amount.usd) for each in rating.components), Fraction(0))


def check_whole(rating: Rating) -> None:
    """What every rating promises to whoever reads it."""
    assert (rating.at_cost is None) == (rating.status == "unrated") == (rating.reference is None)
    if rating.at_cost is not None:
        assert Fraction(rating.at_cost.usd) == total(rating) >= 0
    assert bool(rating.unrated_units) or rating.status != "unrated_units"
    assert not rating.unrated_units or rating.status in {"unrated_units", "unrated"}
    assert rating.listed is None or rating.reported is not None


@given(randoms)
def test_every_call_has_a_rating_and_its_parts_add_up(random: Random) -> None:
    make = Maker(random)
    book = book_of(make.entries(ROWS))
    for _ in range(10):
        call = some_call(make)
        rating = rated(call, book, random)
        check_whole(rating)
        chosen = [each for each in rating.candidates if each.lost is None]
        rule = None if rating.reference is None else rating.reference.rule
        assert len(chosen) == (rule in {"same-provider-first", "lowest"})
        if rating.status == "free_model":
            assert rating.at_cost == chosen[0].total
        elif chosen:  # what a paid version does not price is named (docs/decisions/0054)
            assert rating.status == "unrated_units"
            assert rating.unrated_units == chosen[0].unpriced_units
        if rating.status == "no_paid_equivalent":
            assert str(rating.at_cost) == "0"


@given(randoms)
def test_a_call_of_several_models_costs_what_each_costs(random: Random) -> None:
    make = Maker(random)
    book = book_of(make.entries(ROWS))
    call = some_call(make)._replace(provider_cost=None)
    parts: list[JsonObject] = [
        {"model": random.choice(["a", "b", "unheard"]), "usage": make.usage()} for _ in range(3)
    ]
    whole, rated_parts = rate_parts(call, parts, book, reference="lowest")
    check_whole(whole)
    known = [Fraction(each.at_cost.usd) for each in rated_parts if each.at_cost is not None]
    assert total(whole) == sum(known, Fraction(0))
    assert (whole.at_cost is None) == (not known)


@given(randoms)
def test_entries_added_later_change_no_earlier_rating(random: Random) -> None:
    make = Maker(random)
    entries = make.entries(ROWS)
    size = random.randrange(len(entries) + 1)
    before, whole = book_of(entries[:size]), book_of(entries)
    for _ in range(5):
        call, setting = (
            some_call(make),
            setting_of(random.choice(["lowest", "same-provider-first"])),
        )
        assert rate(call, whole.open_book(before.hash), reference=setting) == rate(
            call, before, reference=setting
        )


@given(randoms, st.integers(1, 6), st.sampled_from(["ROUND_UP", "ROUND_DOWN", "ROUND_HALF_EVEN"]))
def test_the_ambient_decimal_context_changes_no_rating(
    random: Random, precision: int, rounding: str
) -> None:
    make = Maker(random)
    entries, calls = make.entries(ROWS), [some_call(make) for _ in range(5)]
    expected = [rate(call, book_of(entries), reference="lowest") for call in calls]
    with decimal.localcontext() as context:
        context.prec, context.rounding = precision, rounding
        context.traps[decimal.Inexact] = True
        book = book_of(entries)
        assert [rate(call, book, reference="lowest") for call in calls] == expected


NONSENSE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**63, [], [[]], {}, {"row": "x"}, ["x"]),
    *("", "x", "-1", "1e5", "NaN", "2026-13-01", "00:00-24:00"),
)
PLACES = ("row", "seen", "name", "deprecated", "n", "id", "canonical", "at", "batch", "tiers")


def spoilt(value: Any, random: Random) -> Any:
    """The same with nonsense here and there."""
    if random.random() < 0.03:
        return random.choice(NONSENSE)
    if isinstance(value, dict):
        kept = {k: spoilt(v, random) for k, v in value.items() if random.random() > 0.02}
        extra = {random.choice(PLACES): random.choice(NONSENSE)}
        return kept | extra if random.random() < 0.03 else kept
    return [spoilt(each, random) for each in value] if isinstance(value, list) else value


@given(randoms)
def test_a_record_of_nonsense_is_refused_by_name(random: Random) -> None:
    make = Maker(random)
    for number in range(5):
        used, routed = make.used(), make.routed("")
        record = {
            "provider": routed["provider"],
            "model": routed["upstream_model"],
            "at": routed["price_at"],
            "markup_rate": "0.05",
            "price_book": [make.row(n) for n in range(5)] if number % 2 else make.entries(4),
            **{name: used[name] for name in ("context", "usage", "provider_cost")},
        }
        with suppress(BadValue):
            rated = rate_record(
                spoilt(record, random), book_of([]), names=NAMES, normalise={}, reference="lowest"
            )
            assert (rated["at_cost_usd"] is None) == (rated["status"] == "unrated")


GROWING = {
    "input_tokens": ("input_tokens",),
    "cached_input_tokens": ("cached_input_tokens", "input_tokens"),
    "cached_audio_tokens": ("cached_audio_tokens", "cached_input_tokens", "input_tokens"),
    "cache_write_1h_tokens": ("cache_write_1h_tokens", "input_tokens"),
    "input_audio_tokens": ("input_audio_tokens", "input_tokens"),
    "output_tokens": ("output_tokens",),
    "output_image_tokens": ("output_image_tokens", "output_tokens"),
    "web_search_calls": ("web_search_calls",),
    "requests": ("requests",),
}
"""A unit, and the wholes that grow with it."""
PRICED: dict[str, Any] = {
    **dict.fromkeys(("input", "output", "cached_input", "input_audio", "reasoning"), "1"),
    **dict.fromkeys(("cached_input_audio", "cache_write_1h", "output_image", "per_request"), "0.5"),
    "web_search_per_call": "0.01",
}
STEPS = [
    {"input_tokens_above": above, **{name: str(factor) for name in PRICED}}
    for above, factor in ((100, 2), (200, 3), (1000, 5))
]


@given(randoms, st.sampled_from(sorted(GROWING)), st.integers(0, 300))
def test_more_of_anything_never_costs_less_over_rising_tiers(
    random: Random, unit: str, more: int
) -> None:
    make = Maker(random)
    row = {"provider": "p", "model": "m", "prices": PRICED, "tiers": STEPS}
    book = book_of([row])
    known = {unit for grown in GROWING.values() for unit in grown}
    usage = {"input_tokens": 0, "output_tokens": 0, "requests": 1}
    usage |= {unit: count for unit, count in make.usage().items() if unit in known}
    grown = usage | {each: usage.get(each, 0) + more for each in GROWING[unit]}
    call = Call("p", "m", (), parse_instant("2026-11-23T12:00:00Z"), usage, Conditions())
    less = rate(call, book, reference="lowest")
    greater = rate(call._replace(usage=grown), book, reference="lowest")
    assert total(greater) >= total(less)


@given(randoms, st.sampled_from([(0, 100), (101, 200), (201, 1000), (1001, 10**9)]))
def test_usage_adds_up_within_a_tier(random: Random, tier: tuple[int, int]) -> None:
    """Outputs at any one input; inputs as long as their sum stays in the tier."""
    low, high = tier
    row = {"provider": "p", "model": "m", "prices": PRICED, "tiers": STEPS}
    book = book_of([row])
    base = random.randint(low, high)
    more = random.randint(0, high - base)
    outs = [random.randrange(10**6) for _ in range(2)]

    def cost(tokens_in: int, tokens_out: int) -> Fraction:
        usage = {"input_tokens": tokens_in, "output_tokens": tokens_out, "requests": 0}
        call = Call("p", "m", (), parse_instant("2026-11-23T12:00:00Z"), usage, Conditions())
        return total(rate(call, book, reference="lowest"))

    first, second = cost(base, outs[0]), cost(base, outs[1])
    assert first + second == cost(base, outs[0] + outs[1]) + cost(base, 0)
    assert cost(base + more, 0) * base == cost(base, 0) * (base + more)
