"""What goes up to each provider of OpenAI's protocol: kept, renamed, dropped or refused."""

from __future__ import annotations

from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from api.providers.port import UnsupportedParameter
from tests.api.providers.chat_completions.calls import HI, TOOL, sent

OPEN_MODELS = (
    *("chutes", "groq", "sambanova", "novita", "akash", "nvidia", "hyperbolic", "morpheus"),
    *("fireworks", "together"),
)
SCHEMA = {"type": "json_schema", "json_schema": {"name": "c", "schema": {"type": "object"}}}


@pytest.mark.parametrize("slug", [*OPEN_MODELS, "openai"])
@pytest.mark.parametrize("given", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_has_one_name(slug: str, given: str) -> None:
    name = "max_completion_tokens" if slug in ("openai", "groq") else "max_tokens"
    body = sent(slug, **{given: 9})
    assert {field: body[field] for field in body if field.startswith("max_")} == {name: 9}


def test_of_two_limits_the_newer_name_counts() -> None:
    both = {"max_tokens": 9, "max_completion_tokens": 5}
    assert sent("fireworks", **both)["max_tokens"] == 5
    assert sent("chutes", max_tokens=9, max_completion_tokens=None)["max_tokens"] == 9
    assert "max_tokens" not in sent("chutes", max_tokens=None)
    body = sent("openrouter", **both)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (9, 5)


@pytest.mark.parametrize("slug", OPEN_MODELS)
def test_labels_are_dropped_at_servers_of_open_models(slug: str) -> None:
    labels = {
        "metadata": {"a": "b"},
        "store": True,
        "safety_identifier": "x",
        "prediction": {"type": "content", "content": "x"},
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "implicit"},
        "cache_control": {"type": "ephemeral"},
    }
    assert sent(slug, **labels).keys() <= {"model", "messages", "context_length_exceeded_behavior"}


@pytest.mark.parametrize("slug", OPEN_MODELS)
@pytest.mark.parametrize(
    ("field", "value", "nothing"),
    [
        ("web_search_options", {}, None),
        ("audio", {"voice": "alloy"}, None),
        ("modalities", ["text", "audio"], ["text"]),
        ("functions", [{"name": "f"}], []),
        ("verbosity", "low", "medium"),
        ("moderation", {"model": "omni"}, None),
        ("plugins", [{"id": "web"}], []),
    ],
)
def test_what_open_models_do_not_have_is_refused(
    slug: str, field: str, value: Any, nothing: Any
) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        sent(slug, **{field: value})
    assert refused.value.param == field
    assert field not in sent(slug, **{field: nothing})


@pytest.mark.parametrize(
    ("field", "value", "nothing"),
    [
        ("n", 2, 1),
        ("logprobs", True, False),
        ("top_logprobs", 3, 0),
        ("logit_bias", {"1": 5}, {}),
        ("frequency_penalty", 0.5, 0),
        ("presence_penalty", -1, 0.0),
    ],
)
def test_what_groq_does_not_have(field: str, value: Any, nothing: Any) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        sent("groq", **{field: value})
    assert refused.value.param == field
    assert field not in sent("groq", **{field: nothing})
    assert sent("chutes", **{field: value})[field] == value


def test_hyperbolic_has_a_list() -> None:
    known = {"temperature": 0.1, "top_p": 0.9, "seed": 1, "stop": ["x"], "user": "u", "n": 2}
    assert sent("hyperbolic", **known).items() >= known.items()
    with pytest.raises(UnsupportedParameter) as refused:
        sent("hyperbolic", top_k=5)
    assert refused.value.param == "top_k"
    assert "top_k" in sent("chutes", top_k=5)


@pytest.mark.parametrize(
    ("slug", "field", "said", "meant"),
    [
        ("groq", "reasoning_effort", "minimal", "low"),
        ("groq", "reasoning_effort", "none", "none"),
        ("groq", "service_tier", "default", "on_demand"),
        ("groq", "service_tier", "flex", "flex"),
        ("sambanova", "reasoning_effort", "max", "high"),
        ("fireworks", "reasoning_effort", "xhigh", "high"),
        ("fireworks", "tool_choice", "required", "any"),
        ("fireworks", "tool_choice", "auto", "auto"),
        ("fireworks", "service_tier", "priority", "priority"),
        ("fireworks", "service_tier", "fast", "priority"),
        ("together", "reasoning_effort", "minimal", "low"),
        ("together", "reasoning_effort", "max", "max"),
        ("openrouter", "reasoning_effort", "minimal", "minimal"),
        ("openai", "reasoning_effort", "max", "max"),
    ],
)
def test_words_of_their_own(slug: str, field: str, said: str, meant: str) -> None:
    assert sent(slug, **{field: said})[field] == meant


@pytest.mark.parametrize("tier", ["auto", "default", "flex", "scale"])
def test_tiers_that_fireworks_does_not_sell_are_left_out(tier: str) -> None:
    assert "service_tier" not in sent("fireworks", service_tier=tier)


def test_fireworks_is_asked_not_to_cut_a_prompt() -> None:
    assert sent("fireworks")["context_length_exceeded_behavior"] == "error"
    cut = sent("fireworks", context_length_exceeded_behavior="truncate")
    assert cut["context_length_exceeded_behavior"] == "truncate"


def test_schemas() -> None:
    assert sent("together", response_format=SCHEMA)["response_format"] == {
        "type": "json_object",
        "schema": {"type": "object"},
    }
    assert sent("groq", response_format=SCHEMA)["response_format"] == SCHEMA
    assert sent("fireworks", response_format=SCHEMA, tools=[])["response_format"] == SCHEMA
    with pytest.raises(UnsupportedParameter) as refused:
        sent("fireworks", response_format=SCHEMA, tools=[TOOL])
    assert refused.value.param == "response_format"
    free = {"type": "json_object"}
    assert sent("fireworks", response_format=free, tools=[TOOL])["response_format"] == free


@pytest.mark.parametrize(
    "slug",
    [
        row.slug
        for row in PROVIDERS.values()
        if row.dialect is not None and row.dialect.name == "openai.chat" and row.slug != "azure"
    ],
)
def test_usage_is_asked_of_every_stream_and_of_nothing_else(slug: str) -> None:
    assert sent(slug, stream=True)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(slug, stream_options={"include_usage": True})
    declined = sent(slug, stream=True, stream_options={"include_usage": False})
    assert ("stream_options" not in declined) == (slug == "nvidia")


@pytest.mark.parametrize("slug", OPEN_MODELS)
def test_nulls_ask_for_nothing(slug: str) -> None:
    body = sent(slug, stop=None, temperature=None, tools=None, tool_choice=None, top_k=None)
    assert body.keys() <= {"model", "messages", "context_length_exceeded_behavior"}
    assert sent("openai", stop=None)["stop"] is None


def test_a_developer_is_the_system_of_open_models() -> None:
    messages = [{"role": "developer", "content": "Be short."}, *HI]
    for slug in OPEN_MODELS:
        assert sent(slug, messages=messages)["messages"][0]["role"] == "system"
    for slug in ("openai", "openrouter", "vercel"):
        assert sent(slug, messages=messages)["messages"] == messages


THOUGHTFUL = {
    "role": "assistant",
    "content": "Blue.",
    "reasoning_content": "Sky.",
    "reasoning_details": [{"type": "reasoning.text", "text": "Sky."}],
    "extra_content": {"google": {"thought_signature": "x"}},
    "cache_control": {"type": "ephemeral"},
    "refusal": None,
    "annotations": [],
}


@pytest.mark.parametrize(
    ("slug", "kept"),
    [
        ("openai", {"refusal": None, "annotations": []}),
        (
            "openrouter",
            {
                "reasoning": "Sky.",
                "reasoning_details": THOUGHTFUL["reasoning_details"],
                "cache_control": {"type": "ephemeral"},
                "refusal": None,
                "annotations": [],
            },
        ),
        ("groq", {"reasoning": "Sky."}),
        ("together", {"reasoning": "Sky."}),
        ("chutes", {"reasoning_content": "Sky."}),
        (
            "novita",
            {"reasoning_content": "Sky.", "reasoning_details": THOUGHTFUL["reasoning_details"]},
        ),
        ("sambanova", {}),
        ("nvidia", {}),
    ],
)
def test_what_goes_back_of_an_earlier_turn(slug: str, kept: dict[str, Any]) -> None:
    found = sent(slug, messages=[*HI, THOUGHTFUL, *HI])["messages"][1]
    assert found == {"role": "assistant", "content": "Blue.", **kept}


def test_a_refusal_is_what_the_assistant_said() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": None}
    found = sent("groq", messages=[*HI, refusal])["messages"][1]
    assert found == {"role": "assistant", "content": "No."}
    sound = {"role": "assistant", "content": None, "audio": {"id": "a"}}
    assert sent("groq", messages=[*HI, sound])["messages"][1] == sound


def test_cache_marks_and_signatures_stay_with_those_who_read_them() -> None:
    mark = {"type": "ephemeral"}
    part = {"type": "text", "text": "Hi", "cache_control": mark, "prompt_cache_breakpoint": {}}
    tool_call = {"id": "c", "type": "function", "function": {}, "extra_content": {"google": {}}}
    asked: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": [part]},
            {"role": "assistant", "content": None, "tool_calls": [tool_call]},
        ],
        "tools": [{**TOOL, "cache_control": mark}],
    }
    for slug, members in (
        ("openai", {"type", "text", "prompt_cache_breakpoint"}),
        ("openrouter", set(part)),
        ("chutes", {"type", "text"}),
    ):
        found = sent(slug, **asked)
        assert found["messages"][0]["content"][0].keys() == members
        assert ("cache_control" in found["tools"][0]) == (slug == "openrouter")
        assert "extra_content" not in found["messages"][1]["tool_calls"][0]


def test_sambanova_wants_one_text() -> None:
    texts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    picture = {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}
    messages = [
        {"role": "user", "content": texts},
        {"role": "user", "content": [*texts, picture]},
        {"role": "user", "content": []},
    ]
    found = sent("sambanova", messages=messages)["messages"]
    assert [turn["content"] for turn in found] == ["one\ntwo", [*texts, picture], []]
    assert sent("chutes", messages=messages)["messages"] == messages


@pytest.mark.parametrize("odd", ["text", None, [1, "x"], [{"role": "user", "content": [1]}]])
def test_odd_messages_are_for_the_provider_to_refuse(odd: Any) -> None:
    assert sent("sambanova", messages=odd)["messages"] == odd
