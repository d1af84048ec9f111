"""Gemini's usage in our units; every expectation is worked out by hand from the raw object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.catalogue import NORMALISERS
from api.providers.gemini.usage import normalise_gemini_usage
from domain.usage import check_usage


def details(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items()]


@pytest.mark.parametrize(
    ("raw", "usage", "anomalies"),
    [
        # 43 + 20 thoughts; the total confirms it: 10 + 43 + 20.
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 43,
                "thoughtsTokenCount": 20,
                "totalTokenCount": 73,
            },
            {"input_tokens": 10, "output_tokens": 63, "reasoning_tokens": 20},
            [],
        ),
        # Results of Google's own tools come on top of the prompt: 91 + 574.
        (
            {
                "promptTokenCount": 91,
                "toolUsePromptTokenCount": 574,
                "candidatesTokenCount": 93,
                "totalTokenCount": 758,
            },
            {"input_tokens": 665, "output_tokens": 93},
            [],
        ),
        # The cached part is inside the prompt.
        (
            {
                "promptTokenCount": 500,
                "cachedContentTokenCount": 400,
                "candidatesTokenCount": 1,
                "totalTokenCount": 501,
            },
            {"input_tokens": 500, "cached_input_tokens": 400, "output_tokens": 1},
            [],
        ),
        # All was thought and nothing said.
        (
            {"promptTokenCount": 5, "thoughtsTokenCount": 60, "totalTokenCount": 65},
            {"input_tokens": 5, "output_tokens": 60, "reasoning_tokens": 60},
            [],
        ),
        # The answer's count is left out although the total holds it: 100 - 5, of which 60 thought.
        (
            {"promptTokenCount": 5, "thoughtsTokenCount": 60, "totalTokenCount": 100},
            {"input_tokens": 5, "output_tokens": 95, "reasoning_tokens": 60},
            ["output_from_total"],
        ),
        # Nothing was generated.
        (
            {"promptTokenCount": 7, "totalTokenCount": 7},
            {"input_tokens": 7, "output_tokens": 0},
            [],
        ),
        # Nothing is known of the output.
        ({"promptTokenCount": 7}, {"input_tokens": 7}, []),
        ({"trafficType": "ON_DEMAND"}, {}, []),
        ({"candidatesTokenCount": 3}, {"output_tokens": 3}, []),
        # Counts that do not add up are taken one by one.
        (
            {"promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 30},
            {"input_tokens": 7, "output_tokens": 2},
            ["total_differs_from_sum"],
        ),
        (
            {
                "promptTokenCount": 7,
                "cachedContentTokenCount": 9,
                "candidatesTokenCount": 1,
                "totalTokenCount": 8,
            },
            {"input_tokens": 7, "cached_input_tokens": 7, "output_tokens": 1},
            ["cached_exceeds_input"],
        ),
    ],
)
def test_counts(raw: dict[str, Any], usage: dict[str, int], anomalies: list[str]) -> None:
    found = normalise_gemini_usage(raw)
    assert found.usage == usage
    assert found.anomalies == anomalies
    assert found.final == ("input_tokens" in usage and "output_tokens" in usage)
    check_usage(found.usage)


def test_sound_and_pictures_that_were_not_cached() -> None:
    found = normalise_gemini_usage(
        {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 700,
            "toolUsePromptTokenCount": 50,
            "candidatesTokenCount": 40,
            "promptTokensDetails": details(TEXT=100, AUDIO=600, IMAGE=250, VIDEO=50),
            "cacheTokensDetails": details(TEXT=100, AUDIO=500, IMAGE=100),
            "toolUsePromptTokensDetails": details(TEXT=30, IMAGE=20),
            "candidatesTokensDetails": details(TEXT=10, AUDIO=30),
        }
    )
    assert found.usage == {
        "input_tokens": 1050,
        "cached_input_tokens": 700,
        "cached_audio_tokens": 500,
        "input_audio_tokens": 100,
        "input_image_tokens": 170,
        "output_tokens": 40,
        "output_audio_tokens": 30,
    }
    assert found.anomalies == []


def test_a_cache_whose_parts_are_not_told_takes_its_room_from_the_others() -> None:
    found = normalise_gemini_usage(
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 80,
            "candidatesTokenCount": 1,
            "promptTokensDetails": details(AUDIO=90, TEXT=10),
        }
    )
    assert found.usage["input_audio_tokens"] == 20
    assert found.anomalies == ["parts_overlap_cached_input"]


def test_numbers_stand_for_words_where_that_was_asked_for() -> None:
    found = normalise_gemini_usage(
        {
            "promptTokenCount": 521,
            "candidatesTokenCount": 5,
            "trafficType": 2,
            "promptTokensDetails": [
                {"modality": 2, "tokenCount": 516},
                {"modality": 1, "tokenCount": 5},
            ],
        }
    )
    assert found.usage["input_image_tokens"] == 516
    assert found.context == {"service_tier": "provisioned_throughput"}


@pytest.mark.parametrize(
    ("told", "tier"),
    [
        ({"serviceTier": "standard"}, "standard"),
        ({"serviceTier": "flex", "trafficType": "ON_DEMAND"}, "flex"),
        ({"serviceTier": "unspecified"}, None),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "priority"}, "priority"),
        ({"trafficType": "ON_DEMAND"}, "standard"),
        ({"trafficType": "TRAFFIC_TYPE_UNSPECIFIED"}, None),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": 1}, "standard"),
        ({"trafficType": {}}, None),
    ],
)
def test_the_tier_that_served(told: dict[str, Any], tier: str | None) -> None:
    assert normalise_gemini_usage(told).context.get("service_tier") == tier


@pytest.mark.parametrize(("model", "count"), [("gemini-3.5-flash", 5), ("gemini-2.5-flash", 1)])
def test_searches_that_google_bills(model: str, count: int) -> None:
    billed = [
        {"tool": "GOOGLE_SEARCH_RETRIEVAL", "successfulToolCallCount": 2},
        {"tool": "google_search", "successfulToolCallCount": 3},
        {"tool": "FILE_SEARCH", "successfulToolCallCount": 7},
        {"tool": "GOOGLE_SEARCH"},
    ]
    found = normalise_gemini_usage({"billedToolCalls": billed}, model)
    assert found.usage == {"web_search_calls": count}
    none = [{"tool": "GOOGLE_SEARCH_RETRIEVAL", "successfulToolCallCount": 0}]
    assert normalise_gemini_usage({"billedToolCalls": none}, model).usage["web_search_calls"] == 0
    nothing: list[Any] = [None, [], [None], {}]
    for one in nothing:
        assert normalise_gemini_usage({"billedToolCalls": one}, model).usage == {}


def test_it_is_known_by_its_flavour() -> None:
    raw = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
    found = NORMALISERS["google.generate_content"](raw, model="gemini-2.5-pro")
    assert found.usage == {"input_tokens": 1, "output_tokens": 2}


_COUNTS = st.none() | st.integers(-2, 50) | st.just(10**13) | st.text(max_size=2)
_DETAILS = st.none() | st.lists(
    st.fixed_dictionaries(
        {"modality": st.sampled_from(["TEXT", "AUDIO", "IMAGE", 2, 4]), "tokenCount": _COUNTS}
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(
    raw=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                (
                    *("promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount"),
                    *("thoughtsTokenCount", "toolUsePromptTokenCount", "totalTokenCount"),
                ),
                _COUNTS,
            ),
            **dict.fromkeys(
                (
                    *("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails"),
                    "toolUsePromptTokensDetails",
                ),
                _DETAILS,
            ),
        },
    )
)
def test_whatever_is_told_the_parts_fit_into_their_wholes(raw: dict[str, Any]) -> None:
    found = normalise_gemini_usage(raw)
    check_usage(found.usage)
    assert found.usage.keys() == found.provenance.keys()
