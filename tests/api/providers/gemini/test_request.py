"""OpenAI's request as Gemini's, field by field."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.asked import NEUTRAL
from api.providers.gemini.dialect import Gemini, check
from api.providers.gemini.request import HARMLESS, TRANSLATED
from api.providers.port import UnsupportedParameter
from tests.api.providers.gemini.calls import (
    BEFORE,
    FIRST_PRO,
    FLASH,
    HI,
    KEY,
    NEW_FLASH,
    NEW_PRO,
    PRO,
    TOOL,
    call,
    config,
    refused,
    sent,
)
from tests.contracts.test_dialects import Case
from tests.e2e.voices.google_types import read_by_google
from tests.instants import AT

GOLDEN = Path(__file__).parents[3] / "golden" / "dialects" / "google"


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda path: str(path.name))
def test_requests_have_google_s_types(folder: Path) -> None:
    read_by_google(Case(folder).request("https://g.test").body)


def test_google_s_types_refuse_what_they_do_not_know() -> None:
    read_by_google(b'{"contents":[{"parts":[{"text":"a"}]}]}')
    for odd in (
        b'{"contents":[],"web_search_options":{}}',
        b'{"contents":[{"parts":[{"text":"a","name":"b"}]}]}',
        b'{"contents":[],"generationConfig":{"max_output_tokens":5}}',
    ):
        with pytest.raises((ValueError, AssertionError)):
            read_by_google(odd)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro:"),
        ("models/gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro:"),
        ("tunedModels/mine-1", "/v1beta/tunedModels/mine-1:"),
        ("../../v1/files?x=#", "/v1beta/models/..%2F..%2Fv1%2Ffiles%3Fx%3D%23:"),
    ],
)
def test_where_a_call_goes(model: str, path: str) -> None:
    for base in ("https://g.test", "https://g.test/"):
        whole = Gemini().request(call(model), KEY, base)
        assert whole.url == f"https://g.test{path}generateContent"
        stream = Gemini().request(call(model, stream=True), KEY, base)
        assert stream.url == f"https://g.test{path}streamGenerateContent?alt=sse"


def test_the_key_is_the_only_credential() -> None:
    request = Gemini().request(call(), KEY, "https://g.test")
    assert request.headers["x-goog-api-key"] == KEY["apiKey"]
    assert "authorization" not in request.headers
    assert "key=" not in request.url


def test_a_key_is_checked_by_counting_tokens_of_the_model_that_was_named() -> None:
    named = check(KEY, "https://g.test/", "models/gemini-3.5-flash", AT).request
    assert named.url == "https://g.test/v1beta/models/gemini-3.5-flash:countTokens"
    assert (named.method, named.headers["x-goog-api-key"]) == ("POST", KEY["apiKey"])
    read_by_google(named.body)
    listed = check(KEY, "https://g.test/", None, AT).request
    assert (listed.method, listed.body) == ("GET", b"")
    assert listed.url == "https://g.test/v1beta/models?pageSize=1"


def test_sampling() -> None:
    assert config(
        temperature=0.5,
        top_p=0.25,
        top_k=40,
        n=3,
        presence_penalty=0.5,
        frequency_penalty=-1,
        seed=2**40 + 5,
        stop=["a", "b"],
        max_tokens=9,
        logprobs=True,
        top_logprobs=4,
    ) == {
        "temperature": 0.5,
        "topP": 0.25,
        "topK": 40,
        "candidateCount": 3,
        "presencePenalty": 0.5,
        "frequencyPenalty": -1,
        "seed": 5,
        "stopSequences": ["a", "b"],
        "maxOutputTokens": 9,
        "responseLogprobs": True,
        "logprobs": 4,
    }
    assert config(max_tokens=9, max_completion_tokens=8)["maxOutputTokens"] == 8
    assert config(stop="x")["stopSequences"] == ["x"]
    assert config(seed=2**31 - 1)["seed"] == 2**31 - 1
    assert config(seed=2**31)["seed"] == 0


def test_what_happens_anyway_is_not_sent() -> None:
    assert sent(
        n=1,
        presence_penalty=0,
        frequency_penalty=0.0,
        logprobs=False,
        top_logprobs=0,
        stop=[],
        tools=[],
        modalities=["text"],
        response_format={"type": "text"},
        service_tier="auto",
        parallel_tool_calls=True,
        stream_options=None,
        temperature=None,
    ) == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        (FLASH, {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}),
        ("gemini-2.5-flash-lite-preview-09-2025", {"none": 0, "max": 24576}),
        (PRO, {"minimal": 1024, "high": 24576, "xhigh": 32768, "max": 32768}),
        (FIRST_PRO, {"minimal": "low", "low": "low", "medium": "high", "high": "high"}),
        (NEW_PRO, {"minimal": "low", "low": "low", "medium": "medium", "max": "high"}),
        ("gemini-pro-latest", {"medium": "medium"}),
        (NEW_FLASH, {"none": "minimal", "minimal": "minimal", "medium": "medium"}),
        ("gemini-flash-latest", {"low": "low", "xhigh": "high"}),
        ("gemini-3-flash-preview", {"minimal": "minimal"}),
    ],
)
def test_effort_is_a_budget_before_gemini_3_and_a_level_since(
    model: str, efforts: dict[str, Any]
) -> None:
    for effort, value in efforts.items():
        field = "thinkingBudget" if isinstance(value, int) else "thinkingLevel"
        wanted = {field: value}
        if effort != "none":
            wanted["includeThoughts"] = True
        assert config(model, reasoning_effort=effort)["thinkingConfig"] == wanted


def test_effort_that_a_model_does_not_know() -> None:
    assert config(BEFORE, reasoning_effort="none") == {}
    for model in (BEFORE, "gemini-2.5-flash-image", "gemma-3-27b-it"):
        assert refused(model, reasoning_effort="low") == "reasoning_effort"
    for model in (PRO, FIRST_PRO, NEW_PRO):
        # They cannot stop thinking.
        assert refused(model, reasoning_effort="none") == "reasoning_effort"
    for effort in ("huge", 5, ["low"]):
        assert refused(reasoning_effort=effort) == "reasoning_effort"


def test_tools() -> None:
    function = {"name": "s", "description": "D.", "parameters": {"type": "object"}}
    body = sent(tools=[TOOL, {"type": "function", "function": function}])
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "weather",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}},
                    },
                },
                {"name": "s", "description": "D."},
            ]
        }
    ]
    assert "toolConfig" not in body
    assert refused(tools=[{"type": "custom", "custom": {"name": "c"}}]) == "tools.0"
    assert refused(tools={"a": 1}) == "tools"


@pytest.mark.parametrize(
    "parameters", [{}, {"type": "object"}, {"type": "object", "properties": {}, "required": []}]
)
def test_a_tool_that_takes_nothing_has_no_schema(parameters: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "now", "parameters": parameters}}
    assert sent(tools=[tool])["tools"] == [{"functionDeclarations": [{"name": "now"}]}]


def test_a_tool_that_takes_any_members_has_one() -> None:
    parameters = {"type": "object", "additionalProperties": {"type": "string"}}
    tool = {"type": "function", "function": {"name": "tag", "parameters": parameters}}
    declared = sent(tools=[tool])["tools"][0]["functionDeclarations"][0]
    assert declared["parametersJsonSchema"] == parameters


_ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
        (_ALLOWED, {"mode": "VALIDATED", "allowedFunctionNames": ["weather"]}),
        (
            {**_ALLOWED, "allowed_tools": {"mode": "required", "tools": [TOOL]}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
    ],
)
def test_tool_choice(choice: Any, wanted: dict[str, Any]) -> None:
    assert sent(tools=[TOOL], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": wanted}


def test_tool_choice_without_meaning_or_without_tools() -> None:
    assert "toolConfig" not in sent(tools=[TOOL], tool_choice="auto")
    assert "toolConfig" not in sent(tool_choice="none")
    for odd in ("any", {"type": "custom"}, {"type": "function"}, 3):
        assert refused(tools=[TOOL], tool_choice=odd) == "tool_choice"


def test_strict_tools_are_validated() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
    assert sent(tools=[strict])["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}
    required = sent(tools=[strict], tool_choice="required")
    assert required["toolConfig"]["functionCallingConfig"] == {"mode": "ANY"}


def test_searching() -> None:
    body = sent(web_search_options={"search_context_size": "low"})
    assert body["tools"] == [{"googleSearch": {}}]
    assert refused(web_search_options={}, tools=[TOOL]) == "web_search_options"
    here = {"user_location": {"type": "approximate"}}
    assert refused(web_search_options=here) == "web_search_options.user_location"


def test_response_formats() -> None:
    assert config(response_format={"type": "json_object"}) == {
        "responseMimeType": "application/json"
    }
    schema = {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    assert config(response_format=wanted) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    odds: list[Any] = [{"type": "grammar"}, {"type": "json_schema"}, "json", {"json_schema": {}}]
    for odd in odds:
        assert refused(response_format=odd) == "response_format"


def test_tiers_and_modalities() -> None:
    tiers = {"default": "standard", "flex": "flex", "priority": "priority"}
    for ours, theirs in tiers.items():
        assert sent(service_tier=ours)["serviceTier"] == theirs
        asked = Gemini().request(call(service_tier=ours), KEY, "https://g.test")
        assert asked.context == {"service_tier": theirs}
    assert Gemini().request(call(service_tier="auto"), KEY, "https://g.test").context == {}
    assert refused(service_tier="scale") == "service_tier"
    assert config(modalities=["image", "text"])["responseModalities"] == ["IMAGE", "TEXT"]
    assert refused(modalities=["text", "audio"]) == "modalities"


def test_google_s_own_extras() -> None:
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    google = {
        "cached_content": "cachedContents/c1",
        "safety_settings": safety,
        "thinking_config": {"thinking_budget": 128, "include_thoughts": True},
    }
    body = sent(extra_body={"google": google})
    assert body["cachedContent"] == "cachedContents/c1"
    assert body["safetySettings"] == safety
    assert body["generationConfig"] == {
        "thinkingConfig": {"thinkingBudget": 128, "includeThoughts": True}
    }
    assert refused(extra_body={"google": {"labels": {}}}) == "extra_body"
    assert refused(extra_body={"anthropic": {}}) == "extra_body"
    assert refused(extra_body={"google": {"thinking_config": {"depth": 3}}}) == "extra_body"
    both = {"google": {"thinking_config": {"thinking_budget": 128}}}
    assert refused(extra_body=both, reasoning_effort="low") == "reasoning_effort"


def test_fields_are_honoured_dropped_or_refused() -> None:
    plain = sent()
    for name in HARMLESS:
        assert sent(**{name: "anything"}) == plain
    for name in NEUTRAL.keys() - TRANSLATED:
        assert sent(**{name: NEUTRAL[name][0]}) == plain
        assert refused(**{name: "something"}) == name
    for name in ("audio", "thinking", "frobnicate"):
        unknown: dict[str, Any] = {name: {"a": 1}}
        assert refused(**unknown) == name


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("role", "content", "type", "text", "function", "name", "parameters"),
                    *("tool_calls", "id", "arguments", "google", "url", "image_url", "schema"),
                    *("properties", "allOf", "$ref", "const", "extra_content", "json_schema"),
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
_FIELDS = (
    *("messages", "tools", "tool_choice", "response_format", "stop", "modalities", "extra_body"),
    *("reasoning_effort", "service_tier", "web_search_options", "seed", "logprobs"),
)


@settings(max_examples=300, deadline=None)
@given(body=st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=3), stream=st.booleans())
def test_any_body_is_translated_or_refused(body: dict[str, Any], stream: bool) -> None:
    named = {"messages": HI, **body}
    with suppress(UnsupportedParameter):
        Gemini().request(call(FLASH, **named, stream=stream), KEY, "https://g.test")
