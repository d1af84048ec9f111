"""What one book says that another does not, at an instant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pricing.book import PriceBook, book_of
from pricing.difference import differences

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def row(model: str, price: str, **given: Any) -> dict[str, Any]:
    count = given.pop("id", price)
    return {
        "id": f"a/{model}#{count}",
        "provider": "a",
        "model": model,
        "prices": {"input": price},
        **given,
    }


def found(old: PriceBook, new: PriceBook, at: datetime = NOW) -> list[tuple[str, str, Any, Any]]:
    def price(side: Any) -> Any:
        return side and side["prices"]["input"]

    return [
        (each.kind, each.model, price(each.before), price(each.after))
        for each in differences(old, new, at=at)
    ]


def test_a_book_has_no_difference_to_itself() -> None:
    book = book_of([row("m", "1"), row("m", "2"), row("n", "1", service_tier="flex")])
    assert found(book, book) == []


def test_rows_that_come_change_and_go() -> None:
    old = book_of([row("stays", "1"), row("changes", "1"), row("goes", "1")])
    new = book_of([row("stays", "1"), row("changes", "1"), row("changes", "2"), row("comes", "5")])
    assert found(old, new) == [
        ("changed", "changes", "1", "2"),
        ("added", "comes", None, "5"),
        ("ended", "goes", "1", None),
    ]
    assert found(new, old) == [
        ("changed", "changes", "2", "1"),
        ("ended", "comes", "5", None),
        ("added", "goes", None, "1"),
    ]


def test_each_service_class_is_compared_with_itself() -> None:
    old = book_of([row("m", "4"), row("m", "2", batch=True)])
    new = book_of([row("m", "4"), row("m", "2", batch=True), row("m", "1", batch=True)])
    (change,) = differences(old, new, at=NOW)
    assert change.as_json() == {
        "kind": "changed",
        "provider": "a",
        "model": "m",
        "conditions": {"batch": True},
        "before": {"row": "a/m#2", "prices": {"input": "2"}},
        "after": {"row": "a/m#1", "prices": {"input": "1"}},
    }


def test_tiers_hours_and_multipliers_are_prices_too() -> None:
    old = book_of([row("m", "1")])
    for more in (
        {"tiers": [{"input_tokens_above": 200_000, "input": "2"}]},
        {"time_overrides": [{"utc_windows": ["01:00-04:00"], "input": "2"}]},
        {"multiplier": "1.1"},
    ):
        new = book_of([row("m", "1"), row("m", "1", id="2", **more)])
        assert [kind for kind, *_ in found(old, new)] == ["changed"]


def test_each_side_is_told_as_its_book_has_it() -> None:
    """Else a change of hours alone would show two equal sides."""
    hours = [{"utc_days": [1], "utc_windows": ["01:00-04:00"], "input": "2"}]
    later = [{**hours[0], "utc_windows": ["02:00-04:00"]}]
    start = "2026-11-01T00:00:00Z"
    old = book_of([row("m", "1", time_overrides=hours)])
    new = book_of([row("m", "1", time_overrides=later, effective_from=start)])
    (change,) = differences(old, new, at=NOW)
    told = {"row": "a/m#1", "prices": {"input": "1"}}
    assert change.before == {**told, "time_overrides": hours}
    assert change.after == {**told, "time_overrides": later, "effective_from": start}


def test_what_begins_later_is_announced_until_it_begins() -> None:
    start = datetime(2026, 12, 1, tzinfo=UTC)
    old = book_of([row("m", "1")])
    new = book_of([row("m", "1"), row("m", "2", effective_from="2026-12-01T00:00:00Z")])
    assert found(old, new) == [("announced", "m", None, "2")]
    assert found(old, new, at=start) == [("changed", "m", "1", "2")]


def test_an_announced_end_is_named_once_it_has_come() -> None:
    at = "2026-11-20T00:00:00.000000Z"
    old = book_of([row("m", "1")])
    new = book_of([row("m", "1"), {"deprecated": {"row": "a/m#1", "at": at}}])
    assert found(old, new) == [("deprecated", "m", "1", "1")]
    assert found(old, new, at=datetime(2026, 11, 19, tzinfo=UTC)) == []
