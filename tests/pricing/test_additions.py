"""What operators add becomes whole entries, once; what no book can hold is refused by its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import BadValue
from pricing.additions import ADDED_MAX, additions
from pricing.book import PriceBook, book_of
from pricing.load import shipped_names

NOW = datetime(2026, 12, 24, tzinfo=UTC)
OLD = "2026-10-01T00:00:00.000000Z"
ROW = {"provider": "openai", "model": "gpt-9-2026-11-11", "prices": {"input": "2", "output": "8"}}
KNOWN = {**ROW, "id": "openai/known~1", "model": "known", "canonical": "known", "recorded_at": OLD}
BOOK = book_of([KNOWN])


def added(*given: dict[str, Any], book: PriceBook = BOOK) -> list[dict[str, Any]]:
    return additions(
        list(given),
        book,
        names=shipped_names(),
        providers={"openai", "openai-responses", "groq"},
        at=NOW,
    )


def grown(*entries: dict[str, Any]) -> PriceBook:
    """The book after an addition."""
    return book_of([*(json.loads(line) for line in BOOK.lines()), *entries])


def test_a_bare_row_becomes_a_whole_entry() -> None:
    assert added(ROW) == [
        {
            "row": {
                **ROW,
                "id": "openai/gpt-9-2026-11-11~own2",
                "canonical": "gpt-9",
                # That of the newest entry: the other rows stay as fresh as they were.
                "recorded_at": OLD,
                "source": ["operator"],
            }
        }
    ]
    assert grown(*added(ROW)).newest == BOOK.newest
    (stated,) = added({**ROW, "canonical": "mine", "source": ["a letter"], "id": "not taken over"})
    assert stated["row"]["canonical"] == "mine"
    assert stated["row"]["source"] == ["a letter"]
    assert stated["row"]["id"] == "openai/gpt-9-2026-11-11~own2"


def test_the_first_row_of_all_is_recorded_now() -> None:
    (first,) = added(ROW, book=book_of([]))
    assert first["row"]["recorded_at"] == "2026-12-24T00:00:00.000000Z"


def test_what_is_there_already_is_not_added_again() -> None:
    assert added({**KNOWN, "source": ["somebody else"]}) == []
    assert len(added(ROW, ROW)) == 1
    once = added(ROW, {"name": {"provider": "openai", "model": "g9", "canonical": "gpt-9"}})
    assert len(once) == 2
    assert added(*once, book=grown(*once)) == []


def test_another_price_for_the_same_is_added_and_so_is_the_old_one_after_it() -> None:
    dearer = {**KNOWN, "prices": {"input": "3", "output": "8"}}
    (change,) = added(dearer)
    assert change["row"]["id"] == "openai/known~own2"
    assert len(added(KNOWN, book=grown(change))) == 1
    # Other calls, or from another day on: other rows.
    assert len(added({**KNOWN, "service_tier": "flex"}, {**KNOWN, "effective_from": OLD})) == 2


def test_sightings_name_a_row_of_the_book_or_of_the_file() -> None:
    seen = {"seen": {"row": "openai/known~1", "at": "2026-10-02"}}
    assert added(seen) == [{"seen": {"row": "openai/known~1", "at": "2026-10-02T00:00:00.000000Z"}}]
    own = {"deprecated": {"row": "openai/gpt-9-2026-11-11~own2", "at": OLD}}
    assert added(ROW, own)[1] == own
    assert added(*added(seen), book=grown(*added(seen))) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**ROW, "provider": "openai-responses"}, "priced by the rows of openai"),
        ({**ROW, "provider": "nobody"}, "not a provider"),
        ({"prices": {}}, "not a provider"),
        ({**ROW, "prices": {"input": 2.5}}, "plain decimal text"),
        ({**ROW, "prices": {"input": "1e3"}}, "plain decimal text"),
        ({**ROW, "prices": {"input": "0.0000000001"}}, "9 decimal places"),
        ({**ROW, "prices": {"inptu": "2"}}, "no price 'inptu'"),
        ({**ROW, "prices": {}}, "needs prices"),
        ({**ROW, "price": "2"}, "no field 'price'"),
        ({"row": ROW, "name": {}}, "nothing else"),
        ({"seen": {"row": "openai/x~1", "at": "2026-11-01"}}, "there is no row"),
        ({"seen": {"row": "openai/known~1", "at": "soon"}}, "not an RFC 3339 instant"),
        ({"name": {"provider": "openai", "model": "x"}}, "has the fields"),
        ({"name": {"provider": "nobody", "model": "x", "canonical": "y"}}, "not a provider"),
    ],
)
def test_what_no_book_could_hold_is_refused_by_its_place(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(BadValue, match=f"^entry 2: .*{said}"):
        added(ROW, entry)


def test_an_addition_has_a_limit() -> None:
    assert len(added(*[ROW] * ADDED_MAX)) == 1
    with pytest.raises(BadValue, match="at most 1000"):
        added(*[ROW] * (ADDED_MAX + 1))
