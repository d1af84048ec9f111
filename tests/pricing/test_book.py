"""The book is a prefix of an append-only list, named by its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from domain.clock import parse_instant
from domain.errors import BadValue, UnsafeSetup
from pricing.book import Books, Entries, PriceBook, UnknownBook, book_of
from pricing.load import shipped_lines
from tests.pricing.build import NOON, book, row

ENTRIES: list[dict[str, Any]] = [
    {"row": row("p", "old", id="a", canonical="old", recorded_at="2026-01-01T00:00:00Z")},
    {"name": {"provider": "p", "model": "older", "canonical": "old"}},
    {"seen": {"row": "a", "at": "2026-02-01T00:00:00Z"}},
    {"row": row("p", "old", id="b", canonical="old", recorded_at="2026-03-01T00:00:00Z")},
    {"name": {"provider": "p", "model": "older", "canonical": "new"}},
    {"deprecated": {"row": "a", "at": "2026-03-01T00:00:00Z"}},
]


def whole() -> PriceBook:
    return book_of(ENTRIES)


def test_the_hash_is_that_of_the_exact_lines() -> None:
    lines = [
        orjson.dumps({**entry, "n": n}, option=orjson.OPT_SORT_KEYS)
        for n, entry in enumerate(ENTRIES, 1)
    ]
    assert whole().lines() == tuple(lines)
    written = b"".join(line + b"\n" for line in lines)
    assert whole().hash == "sha256:" + hashlib.sha256(written).hexdigest()
    first = b"".join(line + b"\n" for line in lines[:3])
    assert whole().prefix(3).hash == "sha256:" + hashlib.sha256(first).hexdigest()


@pytest.mark.parametrize("rows", range(len(ENTRIES) + 1))
def test_every_earlier_book_opens_by_its_hash(rows: int) -> None:
    earlier = whole().prefix(rows)
    opened = whole().open_book(earlier.hash)
    assert (opened.rows, opened.hash) == (rows, earlier.hash)
    assert len(opened.lines()) == rows


def test_an_earlier_book_does_not_know_what_came_later() -> None:
    before, after = whole().prefix(3), whole()
    assert [found.id for found in before.rows_of("p", "old")] == ["a"]
    assert [found.id for found in after.rows_of("p", "old")] == ["a", "b"]
    assert (before.canonical("p", "older"), after.canonical("p", "older")) == ("old", "new")
    (first,) = before.rows_of("p", "old")
    assert not before.deprecated(first, NOON)
    assert after.deprecated(first, NOON)
    assert before.newest is not None
    assert before.newest.isoformat() == "2026-02-01T00:00:00+00:00"
    assert whole().prefix(0).newest is None
    assert whole().prefix(0).models("p") == ()
    assert after.models("p") == ("old",)


def test_a_mark_and_a_model_count_from_their_very_entry_on() -> None:
    (first,) = whole().prefix(1).rows_of("p", "old")
    for rows, seen in ((2, "2026-01-01"), (3, "2026-02-01")):
        found = whole().prefix(rows).last_seen(first)
        assert found is not None
        assert found.date().isoformat() == seen
    assert not whole().prefix(5).deprecated(first, NOON)
    assert whole().prefix(6).deprecated(first, NOON)
    assert whole().prefix(1).models("p") == ("old",)
    assert whole().prefix(4).canonical("p", "older") == "old"
    assert whole().prefix(5).canonical("p", "older") == "new"
    assert whole().prefix(1).canonical("p", "older") is None


def test_an_unknown_book_is_refused() -> None:
    with pytest.raises(UnknownBook):
        whole().open_book("sha256:" + "0" * 64)
    with pytest.raises(UnknownBook):
        whole().prefix(len(ENTRIES) + 1)


def test_books_are_kept() -> None:
    books = Books(whole())
    earlier = whole().prefix(2)
    assert books.open(books.current.hash) is books.current
    assert books.open(earlier.hash) is books.open(earlier.hash)


def test_a_name_holds_at_its_provider_and_leads_to_rows_of_all() -> None:
    named = book_of(
        [
            {"row": row("p", "m-2026", canonical="m")},
            {"row": row("q", "m-q", canonical="m")},
            {"name": {"provider": "p", "model": "m-alias", "canonical": "m"}},
        ]
    )
    assert named.canonical("p", "m-alias") == "m"
    assert named.canonical("p", "m-unheard-of") is None
    assert named.canonical("q", "m-alias") is None
    assert [found.provider for found in named.rows_of_key("m")] == ["p", "q"]


def test_a_shipped_book_resolves_only_what_it_has_names_for() -> None:
    assert book_of([row(model="gpt-4o")]).canonical("p", "gpt-4o-2030-01-01") is None
    assert book(row(model="gpt-4o")).canonical("p", "gpt-4o-2030-01-01") == "gpt-4o"


def test_the_newest_entry_is_the_latest_instant_however_it_is_written() -> None:
    entries = [
        row("p", "a", recorded_at="2026-11-23T01:00:00+02:00"),
        row("p", "b", recorded_at="2026-11-22T23:30:00Z"),
        row("p", "c", recorded_at="2026-11-22"),
    ]
    newest = book_of(entries).newest
    assert newest is not None
    assert newest.isoformat() == "2026-11-22T23:30:00+00:00"


def test_an_announced_end_makes_no_book_newer() -> None:
    end = {"deprecated": {"row": "a", "at": "2027-06-01T00:00:00.000000Z"}}
    assert book_of([*ENTRIES, end]).newest == whole().newest


def test_a_row_may_have_no_prices_at_all() -> None:
    (found,) = book({"provider": "p", "model": "m"}).rows_of("p", "m")
    assert found.free
    assert found.prices == {}


def test_a_model_that_is_renamed_keeps_its_old_rows_under_the_old_name() -> None:
    renamed = book_of([row(id="a", canonical="old"), row(id="b", canonical="new")])
    assert [found.id for found in renamed.rows_of_key("old")] == ["a"]
    assert [found.id for found in renamed.rows_of_key("new")] == ["b"]
    assert renamed.prefix(1).rows_of_key("new") == ()


def test_a_price_may_be_null_and_a_tier_may_begin_at_once() -> None:
    tiers = [{"input_tokens_above": 0, "input": "3", "output": None}]
    (found,) = book(row(prices={"input": "2", "cached_input": None}, tiers=tiers)).rows_of("p", "m")
    assert set(found.prices) == {"input"}
    assert found.tiers[0].above == 0
    assert set(found.tiers[0].prices) == {"input"}


def test_entries_are_numbered_from_one(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one, two, three = (
        orjson.dumps({**entry, "n": n}, option=orjson.OPT_SORT_KEYS)
        for n, entry in enumerate(ENTRIES[:3], 1)
    )
    (tmp_path / "p.jsonl").write_bytes(one + b"\n" + three + b"\n")
    (tmp_path / "b" / "q.jsonl").write_bytes(two + b"\n")
    assert shipped_lines(tmp_path) == [one, two, three]
    (tmp_path / "p.jsonl").write_bytes(one + b"\n")
    (tmp_path / "b" / "q.jsonl").write_bytes(three + b"\n")
    with pytest.raises(UnsafeSetup):
        shipped_lines(tmp_path)
    (tmp_path / "b" / "q.jsonl").write_bytes(one + b"\n")
    with pytest.raises(UnsafeSetup):
        shipped_lines(tmp_path)


@pytest.mark.parametrize("line", [b'{"n":2,"row":{"provider":"p","model":"m"}}', b'{"n":1,"x":{}}'])
def test_a_line_that_is_not_the_next_entry_is_refused(line: bytes) -> None:
    with pytest.raises(BadValue):
        Entries([line])


def test_instants_with_an_offset_are_in_their_place_too() -> None:
    """Of the same length as one in UTC, an hour earlier than its text says."""
    early = {"seen": {"row": "r", "at": "2026-11-20T12:30:00.0+01:00"}}
    late = {"seen": {"row": "r", "at": "2026-11-20T12:00:00.000000Z"}}
    assert book_of([early, late]).newest == parse_instant("2026-11-20T12:00:00Z")


@pytest.mark.parametrize(
    "fields",
    [
        {"prices": {"input": "0.0000000001"}},
        {"prices": {"input": 2}},
        {"prices": {"input": "2e0"}},
        {"prices": {"input": "-1"}},
        {"prices": {"input": "1000000.1"}},
        {"prices": {"inputs": "2"}},
        {"prices": ["2"]},
        {"multiplier": "1.0001"},
        {"multiplier": "0"},
        {"multiplier": 1},
        {"tiers": [{"input": "2"}]},
        {"tiers": [{"input_tokens_above": "200000", "input": "2"}]},
        {"tiers": {"input_tokens_above": 1}},
        {"time_overrides": [{"utc_windows": ["1:00-4:00"]}]},
        {"time_overrides": [{"utc_windows": ["01:00-01:00"]}]},
        {"time_overrides": [{"utc_windows": ["01:00-24:01"]}]},
        {"time_overrides": [{"utc_windows": ["0\u0661:00-04:00"]}]},
        {"time_overrides": [{"utc_days": [0]}]},
        {"effective_from": "yesterday"},
        {"effective_from": 5},
        {"service_teir": "flex"},
    ],
)
def test_a_row_that_says_nonsense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        book(row(**fields)).rows_of("p", "m")


@pytest.mark.parametrize("fields", [{"provider": ""}, {"model": ""}, {"model": None}])
def test_a_row_has_a_provider_and_a_model(fields: dict[str, Any]) -> None:
    broken = {**row(), **fields}
    with pytest.raises(BadValue):
        book_of([broken]).rows_of(broken["provider"], broken["model"])
