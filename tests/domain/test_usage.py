"""Counts that contradict each other are refused."""

from __future__ import annotations

import pytest

from domain.usage import COUNT_MAX, UNITS, InconsistentUsage, check_usage


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": 0},
        {"input_tokens": COUNT_MAX, "output_tokens": COUNT_MAX},
        {"input_tokens": 5, "cached_input_tokens": 2, "cache_write_tokens": 3},
        {"input_tokens": 5, "cached_input_tokens": 5, "cached_audio_tokens": 5},
        {"output_tokens": 10, "reasoning_tokens": 11},
        {"output_tokens": 5, "output_audio_tokens": 2, "output_image_tokens": 3},
        {"web_search_calls": 2},
    ],
)
def test_consistent(usage: dict[str, int]) -> None:
    check_usage(usage)


@pytest.mark.parametrize(
    ("usage", "param"),
    [
        ({"tokens": 1}, "usage"),
        ({"input_tokens": -1}, "usage.input_tokens"),
        ({"input_tokens": COUNT_MAX + 1}, "usage.input_tokens"),
        ({"input_tokens": True}, "usage.input_tokens"),
        ({"input_tokens": 1.0}, "usage.input_tokens"),
        ({"input_tokens": "1"}, "usage.input_tokens"),
        ({"input_tokens": None}, "usage.input_tokens"),
        ({"input_tokens": 4, "cached_input_tokens": 2, "cache_write_tokens": 3}, None),
        ({"cached_input_tokens": 1}, "usage.input_tokens"),
        ({"input_tokens": 9, "cached_audio_tokens": 1}, "usage.cached_input_tokens"),
        ({"output_tokens": 4, "output_audio_tokens": 2, "output_image_tokens": 3}, None),
    ],
)
def test_inconsistent(usage: dict[str, int], param: str | None) -> None:
    with pytest.raises(InconsistentUsage) as caught:
        check_usage(usage)
    assert param is None or caught.value.param == param


def test_units_are_those_of_the_contract() -> None:
    assert len(UNITS) == len(set(UNITS)) == 14
