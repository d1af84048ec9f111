"""How long a refused request waits before it is sent again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from api.chat.failures import Refusal
from api.chat.patience import retry_after_s, wait_s
from api.errors import ApiError

NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


def asked(
    *,
    tries: int = 1,
    elapsed_s: float = 0.0,
    jitter: float = 0.0,
    retry_after: str | None = None,
    again: bool = True,
) -> float | None:
    refusal = Refusal(
        failure="rate_limited",
        message=None,
        shown=ApiError(429, "provider_rate_limited", "no"),
        retry_after=retry_after,
        again=again,
    )
    return wait_s(refusal, tries=tries, elapsed_s=elapsed_s, now=NOW, jitter=lambda: jitter)


@pytest.mark.parametrize(
    ("tries", "jitter", "expected"), [(1, 0.0, 0.1), (1, 1.0, 0.2), (2, 0.0, 0.2), (2, 1.0, 0.4)]
)
def test_the_wait_doubles_and_half_of_it_is_chance(
    tries: int, jitter: float, expected: float
) -> None:
    assert asked(tries=tries, jitter=jitter) == pytest.approx(expected)


def test_three_times_in_all() -> None:
    assert asked(tries=2) is not None
    assert asked(tries=3) is None


def test_within_two_seconds_of_the_first_sending() -> None:
    assert asked(elapsed_s=1.9) == pytest.approx(0.1)
    assert asked(elapsed_s=1.91) is None


def test_what_the_provider_asks_for_is_honoured_or_not_waited_for() -> None:
    assert asked(retry_after="2") == 2.0
    assert asked(retry_after="3") is None
    assert asked(retry_after="0") == pytest.approx(0.1)
    assert asked(retry_after="later") is None
    assert asked(retry_after="Sun, 01 Nov 2026 12:00:01 GMT") == 1.0


def test_only_what_may_pass() -> None:
    assert asked(again=False) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Sun, 01 Nov 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0.0),
        ("1.5", None),
        ("-1", None),
        ("", None),
        ("٣", None),
        ("Sun, 01 Nov 2026 12:02:00", None),
        ("9" * 40, 999_999_999.0),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds
