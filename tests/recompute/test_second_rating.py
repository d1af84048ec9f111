"""Two readings of the rating rules agree on random books, call by call."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from random import Random

import pytest

from pricing.book import book_of
from pricing.request import rate_request
from tests.pricing.build import reported, routed
from tests.recompute import second_rating
from tests.recompute.random_book import Maker

SEEDS = range(40)
CALLS = 100


def compare(seed: int) -> Counter[str]:
    """Rate random calls by both readings; what came out, by status and rule."""
    make, outcomes = Maker(Random(seed)), Counter[str]()
    whole = book_of(make.entries(40))
    for _ in range(CALLS):
        book = whole.prefix(make.random.choice([whole.rows, whole.rows // 2]))
        start = routed(book, **make.routed(book.hash))
        used = reported(start.originator_id, **make.used())
        ours = rate_request(start, used, book)
        theirs = second_rating.rate_request(
            second_rating.open_book(whole.lines(), book.hash), asdict(start), asdict(used)
        )
        reference = ours.rating.reference
        named = reference and (*reference[:3], list(reference.price_rows))
        amount = None if theirs.amount is None else second_rating.plain(theirs.amount, 18)
        assert (ours.model, named) == (theirs.model, theirs.reference), (start, used)
        assert (None if ours.at_cost is None else str(ours.at_cost)) == amount, (start, used)
        outcomes[f"{ours.status} {reference and reference.rule}"] += 1
    return outcomes


@pytest.mark.parametrize("seed", SEEDS)
def test_both_readings_agree(seed: int) -> None:
    assert sum(compare(seed).values()) == CALLS


def test_every_outcome_is_compared() -> None:
    outcomes = sum((compare(seed) for seed in range(1000, 1010)), Counter[str]())
    assert set(outcomes) >= {
        "priced listed",
        "priced reported",
        "free_model same-provider-first",
        "free_model lowest",
        "no_paid_equivalent listed",
        "unrated_units listed",
        "unrated None",
    }
