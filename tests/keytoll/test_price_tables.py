"""What `keytoll prices` says to people."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from keytoll.commands.port import Console
from keytoll.commands.price_tables import changes, explanation
from pricing.book import book_of
from pricing.difference import differences
from pricing.explain import LOST, explain
from pricing.load import shipped_names
from pricing.paid_version import Lost

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ROW = {
    "id": "r1",
    "provider": "google",
    "model": "m",
    "canonical": "m",
    "recorded_at": "2026-11-01T00:00:00.000000Z",
    "source": ["one list", "another"],
    "confidence": "high",
    "prices": {"input": "1", "output": "8"},
    "tiers": [{"input_tokens_above": 200_000, "input": "2"}],
    "time_overrides": [{"utc_days": [1], "utc_windows": ["01:00-04:00"], "input": "3"}],
    "multiplier": "1.1",
}
BOOK = book_of([{"row": ROW}])


def test_every_reason_for_losing_has_words() -> None:
    assert LOST.keys() == set(get_args(Lost))


def test_an_explanation_names_all_that_decides() -> None:
    out = io.StringIO()
    answer = explain(
        BOOK,
        provider="google",
        model="m",
        at=NOW,
        context={},
        reference="same-provider-first",
        names=shipped_names(),
    )
    explanation(answer, Console(out, out, Path()))
    said = out.getvalue().splitlines()
    for line in (
        "google m, at 2026-11-23T00:00:00.000000Z",
        f"book       {BOOK.hash}",
        "found by   exact id; canonical name m",
        "* r1  standard  in force",
        "    above 200000 input tokens: input 2",
        "    on Mon, 01:00-04:00 UTC: input 3",
        "    multiplier: 1.1",
        "    source: one list, another; confidence high",
        "status     priced",
        # 1000 × (1 + 8) × 1.1 × 1e-6
        "at cost    0.0099 USD",
    ):
        assert line in said


def test_unknown_is_not_zero_for_people_either() -> None:
    out = io.StringIO()
    answer = explain(
        BOOK,
        provider="google",
        model="nobody-knows",
        at=NOW,
        context={},
        reference="same-provider-first",
        names=shipped_names(),
    )
    explanation(answer, Console(out, out, Path()))
    said = out.getvalue()
    assert "status     unrated (unknown_model)" in said
    assert "at cost    unknown" in said


def test_changes_are_shown_before_and_after() -> None:
    out = io.StringIO()
    dearer = {**ROW, "id": "r2", "prices": {"input": "2", "output": "8"}, "service_tier": "flex"}
    changes(differences(BOOK, book_of([ROW, dearer]), at=NOW), Console(out, out, Path()))
    first, after = out.getvalue().splitlines()
    assert first == "added      google m (service_tier flex)"
    assert after == (
        "           is: input 2, output 8; above 200000 input tokens: input 2;"
        " on Mon, 01:00-04:00 UTC: input 3; multiplier: 1.1"
    )
    out.truncate(0)
    changes([], Console(out, out, Path()))
    assert "the same prices" in out.getvalue()
