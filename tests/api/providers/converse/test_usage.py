"""Converse's counts: what was read from and written to the cache stands beside the rest."""

from __future__ import annotations

from typing import Any

import pytest

from api.providers.converse.usage import normalise_converse_usage

USAGE = {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}


@pytest.mark.parametrize(
    ("raw", "usage", "anomalies"),
    [
        (
            {
                "inputTokens": 2,
                "outputTokens": 5,
                "cacheReadInputTokens": 1322,
                "totalTokens": 1329,
            },
            {"input_tokens": 1324, "cached_input_tokens": 1322, "output_tokens": 5},
            [],
        ),
        (
            {**USAGE, "cacheWriteInputTokens": 100, "totalTokens": 117},
            {"input_tokens": 112, "cache_write_tokens": 100, "output_tokens": 5},
            [],
        ),
        (
            {
                **USAGE,
                "cacheWriteInputTokens": 100,
                "totalTokens": 117,
                "cacheDetails": [
                    {"ttl": "5m", "inputTokens": 60},
                    {"ttl": "1h", "inputTokens": 30},
                    {"ttl": "5m", "inputTokens": 10},
                ],
            },
            {
                "input_tokens": 112,
                "cache_write_5m_tokens": 70,
                "cache_write_1h_tokens": 30,
                "cache_write_tokens": 0,
                "output_tokens": 5,
            },
            [],
        ),
        (
            {
                **USAGE,
                "cacheWriteInputTokens": 10,
                "totalTokens": 27,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "9d", "inputTokens": 6}],
            },
            {
                "input_tokens": 22,
                "cache_write_1h_tokens": 4,
                "cache_write_tokens": 6,
                "output_tokens": 5,
            },
            ["cache_write_kind_not_told"],
        ),
        (
            {
                **USAGE,
                "cacheWriteInputTokens": 3,
                "totalTokens": 21,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 4}],
            },
            {
                "input_tokens": 16,
                "cache_write_1h_tokens": 4,
                "cache_write_tokens": 0,
                "output_tokens": 5,
            },
            ["cache_write_split_exceeds_total"],
        ),
        (
            {"outputTokens": 5, "cacheReadInputTokens": 9},
            {"output_tokens": 5},
            ["uncached_input_missing"],
        ),
        (
            {"inputTokens": 12, "outputTokens": 5, "totalTokens": 18},
            {"input_tokens": 12, "output_tokens": 5},
            ["total_is_not_the_sum"],
        ),
        (
            {"inputTokens": -1, "outputTokens": "5"},
            {},
            ["not_a_count:inputTokens", "not_a_count:outputTokens"],
        ),
        ({"cacheDetails": 5, **USAGE}, {"input_tokens": 12, "output_tokens": 5}, []),
        ({}, {}, []),
    ],
)
def test_counts(raw: dict[str, Any], usage: dict[str, int], anomalies: list[str]) -> None:
    found = normalise_converse_usage(raw)
    assert found.usage == usage
    assert found.anomalies == anomalies
    assert found.final == ({"input_tokens", "output_tokens"} <= set(usage))
    assert found.provenance.keys() == usage.keys()


def test_a_sum_of_ours_is_derived() -> None:
    read = normalise_converse_usage({**USAGE, "cacheReadInputTokens": 3, "totalTokens": 20})
    assert read.provenance["input_tokens"] == "derived"
    assert read.provenance["cached_input_tokens"] == "reported"
    assert normalise_converse_usage(USAGE).provenance["input_tokens"] == "reported"
