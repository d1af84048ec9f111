"""OpenAI's request as Converse's, field by field; Amazon's service model approves of each body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.asked import NEUTRAL
from api.providers.converse.dialect import Converse
from api.providers.converse.request import TRANSLATED
from api.providers.messages.request import HARMLESS
from api.providers.port import UnsupportedParameter
from tests.api.providers.converse.calls import (
    ACCESS,
    ANCIENT,
    CALLED,
    GPT,
    GPT_OSS,
    KEY,
    LLAMA,
    MISTRAL,
    NOVA,
    NOVA_2,
    OLD,
    OWN,
    SONNET,
    TOOL,
    call,
    complaints,
    refused,
    sent,
)


def test_the_watchman_of_these_tests_is_awake() -> None:
    """A body that is wrong in each of the ways that it knows is not approved of."""
    good = sent(max_tokens=5, tools=[TOOL])
    for wrong in (
        {**good, "model": "x"},
        {**good, "inferenceConfig": {"maxTokens": 0}},
        {**good, "inferenceConfig": {"maxTokens": "5"}},
        {**good, "serviceTier": {"type": "fast"}},
        {**good, "messages": [{"role": "tool", "content": []}]},
        {**good, "messages": [{"role": "user", "content": [{"text": "a", "cachePoint": {}}]}]},
        {**good, "toolConfig": {"tools": [{"toolSpec": {"name": "a b", "inputSchema": {}}}]}},
        {**good, "system": [{"text": ""}]},
    ):
        assert complaints(wrong, SONNET, stream=False), wrong
    assert not complaints(good, SONNET, stream=False)


def test_where_a_call_goes() -> None:
    request = Converse().request(call(NOVA), KEY, "")
    assert request.url == (
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse"
    )
    assert request.headers == {
        "authorization": f"Bearer {KEY['apiKey']}",
        "content-type": "application/json",
        "accept": "application/json",
    }
    streamed = Converse().request(call(NOVA, stream=True), ACCESS, "https://gate.test/aws/")
    assert streamed.url == "https://gate.test/aws/model/amazon.nova-lite-v1%3A0/converse-stream"
    assert streamed.headers["accept"] == "application/vnd.amazon.eventstream"
    assert streamed.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID")


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_host_follows_the_region(region: str, host: str) -> None:
    request = Converse().request(call(NOVA), {**KEY, "region": region}, "")
    assert request.url.startswith(f"https://{host}/model/")


@pytest.mark.parametrize("model", ["", "..", "/x", "a b", "a?b", "a#b", "a%2Fb", "ä", "a" * 2049])
def test_what_is_no_model_id_is_refused(model: str) -> None:
    with pytest.raises(UnsupportedParameter) as error:
        Converse().request(call(model), KEY, "")
    assert error.value.param == "model"


def test_an_arn_must_be_in_the_credential_s_region() -> None:
    def context(arn: str, **more: str) -> dict[str, Any]:
        return Converse().request(call(arn), {**KEY, **more}, "").context

    named = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
    assert context(named) == {"region": "eu-west-1", "deployment_model": "amazon.nova-lite-v1:0"}
    assert context(OWN) == {"region": "eu-west-1"}
    told = {"models": json.dumps({OWN: "amazon.nova-pro-v1:0"})}
    assert context(OWN, **told)["deployment_model"] == "amazon.nova-pro-v1:0"
    assert context(NOVA, **told) == {"region": "eu-west-1"}
    assert refused(named.replace("eu-west-1", "us-east-1")) == "model"


def test_the_class_that_was_asked_for_counts_until_the_answer_tells_another() -> None:
    asked = call(NOVA, service_tier="flex", performanceConfig={"latency": "optimized"})
    assert Converse().request(asked, KEY, "").context == {
        "region": "eu-west-1",
        "service_tier": "flex",
        "speed": "optimized",
    }


def test_limits_and_stops() -> None:
    body = sent(NOVA, max_tokens=9, max_completion_tokens=7, stop=["END", ""])
    assert body["inferenceConfig"] == {"maxTokens": 7, "stopSequences": ["END"]}
    assert sent(NOVA, stop="\n")["inferenceConfig"] == {"stopSequences": ["\n"]}
    assert "inferenceConfig" not in sent(SONNET, stop=["\n"])
    assert refused(stop=[5]) == "stop"


def test_sampling() -> None:
    body = sent(NOVA, temperature=1, top_p=0.5, top_k=7)
    assert body["inferenceConfig"] == {"temperature": 1, "topP": 0.5}
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 7}}
    assert sent(ANCIENT, top_k=7)["additionalModelRequestFields"] == {"top_k": 7}
    assert "inferenceConfig" not in sent("anthropic.claude-opus-5", temperature=1)
    assert refused("anthropic.claude-opus-5", temperature=0.5) == "temperature"
    assert refused(SONNET, temperature=0.5, reasoning_effort="low") == "temperature"
    assert refused(NOVA, temperature=1.5) == "temperature"
    assert refused(LLAMA, top_k=5) == "top_k"


def test_tools() -> None:
    strict = {"name": "s", "strict": True, "parameters": {"properties": {"a": {"minimum": 1}}}}
    mark = {"type": "ephemeral"}
    body = sent(tools=[{**TOOL, "cache_control": mark}, {"function": strict}])
    assert body["toolConfig"]["tools"] == [
        {"toolSpec": {"name": "paint", "inputSchema": {"json": {"type": "object"}}}},
        {"cachePoint": {"type": "default"}},
        {
            "toolSpec": {
                "name": "s",
                "strict": True,
                "inputSchema": {
                    "json": {
                        "type": "object",
                        "properties": {"a": {"description": "{minimum: 1}"}},
                        "additionalProperties": False,
                    }
                },
            }
        },
    ]
    assert refused(tools=[{"type": "custom", "custom": {"name": "x"}}]) == "tools.0"
    described = {"function": {"name": "p", "description": ""}}
    assert "description" not in sent(tools=[described])["toolConfig"]["tools"][0]["toolSpec"]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "paint"}}, {"tool": {"name": "paint"}}),
    ],
)
def test_tool_choice(choice: Any, found: Any) -> None:
    body = sent(NOVA, tools=[TOOL], tool_choice=choice)
    assert body["toolConfig"].get("toolChoice") == found


def test_no_tools_means_none_unless_the_conversation_holds_calls() -> None:
    assert "toolConfig" not in sent(tools=[TOOL], tool_choice="none")
    body = sent(messages=CALLED, tools=[TOOL], tool_choice="none")
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["paint"]
    assert "toolChoice" not in body["toolConfig"]
    untold = sent(messages=CALLED)["toolConfig"]
    assert untold == {
        "tools": [{"toolSpec": {"name": "paint", "inputSchema": {"json": {"type": "object"}}}}]
    }


def test_one_call_at_a_time_is_claude_s_alone() -> None:
    body = sent(tools=[TOOL], parallel_tool_calls=False)
    alone = {"type": "auto", "disable_parallel_tool_use": True}
    assert body["additionalModelRequestFields"]["tool_choice"] == alone
    assert "toolChoice" not in body["toolConfig"]
    named = {"type": "function", "function": {"name": "paint"}}
    body = sent(OLD, tools=[TOOL], parallel_tool_calls=False, tool_choice=named)
    assert body["additionalModelRequestFields"]["tool_choice"] == {
        "type": "tool",
        "name": "paint",
        "disable_parallel_tool_use": True,
    }
    assert refused(NOVA, tools=[TOOL], parallel_tool_calls=False) == "parallel_tool_calls"
    assert "toolChoice" not in sent(NOVA, tools=[TOOL], parallel_tool_calls=True)["toolConfig"]
    assert "toolConfig" not in sent(NOVA, parallel_tool_calls=False)


def test_a_tool_is_not_forced_where_claude_refuses_it() -> None:
    forced: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required"}
    assert refused("anthropic.claude-opus-5-5", **forced) == "tool_choice"
    assert refused(SONNET, **forced, reasoning_effort="low") == "tool_choice"
    assert sent(SONNET, **forced)["toolConfig"]["toolChoice"] == {"any": {}}
    assert refused(NOVA, tools=[TOOL], tool_choice={"type": "allowed_tools"}) == "tool_choice"


@pytest.mark.parametrize(
    ("tier", "found"),
    [
        ("auto", None),
        ("default", {"type": "default"}),
        ("flex", {"type": "flex"}),
        ("priority", {"type": "priority"}),
        ("reserved", {"type": "reserved"}),
    ],
)
def test_service_tiers(tier: str, found: Any) -> None:
    assert sent(service_tier=tier).get("serviceTier") == found


@pytest.mark.parametrize("tier", ["scale", "fast", 5, {}, ["flex"]])
def test_tiers_that_are_not_sold(tier: Any) -> None:
    assert refused(service_tier=tier) == "service_tier"


def test_labels_that_fit_are_passed_on() -> None:
    labels = {"team": "a", "empty": "", "bad!": "x", "worse": "ü", "number": 5, "n" * 257: "x"}
    assert sent(metadata=labels)["requestMetadata"] == {"team": "a", "empty": ""}
    many = {f"n{count}": "v" for count in range(20)}
    assert len(sent(metadata=many)["requestMetadata"]) == 16
    assert "requestMetadata" not in sent(metadata={})


def test_members_of_converse_s_own_pass_through() -> None:
    guard = {"guardrailIdentifier": "gr1", "guardrailVersion": "DRAFT"}
    body = sent(
        NOVA,
        guardrailConfig=guard,
        performanceConfig={"latency": "optimized"},
        additionalModelRequestFields={"inferenceConfig": {"topK": 3}},
        top_k=9,
    )
    assert body["guardrailConfig"] == guard
    assert body["performanceConfig"] == {"latency": "optimized"}
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}
    assert refused(guardrailConfig="gr1") == "guardrailConfig"


def test_a_mark_on_the_call_caches_everything_so_far() -> None:
    body = sent(cache_control={"type": "ephemeral", "ttl": "1h"})
    assert body["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


@pytest.mark.parametrize("name", sorted(HARMLESS - {"metadata"}))
def test_what_decides_nothing_is_dropped(name: str) -> None:
    assert sent(**{name: "x"}) == sent()


@pytest.mark.parametrize("name", sorted(NEUTRAL.keys() - TRANSLATED))
def test_what_asks_for_nothing_is_dropped_and_anything_else_refused(name: str) -> None:
    for value in NEUTRAL[name]:
        assert sent(**{name: value}) == sent()
    assert refused(**{name: "something else"}) == name
    assert sent(**{name: None}) == sent()


@pytest.mark.parametrize("name", ["audio", "web_search_options", "speed", "x" * 60])
def test_what_nobody_knows_is_refused_by_name(name: str) -> None:
    assert refused(**{name: {"a": 1}}) == name[:40]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = (
    *("messages", "tools", "tool_choice", "response_format", "stop", "temperature", "top_p"),
    *("reasoning_effort", "thinking", "service_tier", "metadata", "cache_control", "top_k"),
    *("parallel_tool_calls", "additionalModelRequestFields", "performanceConfig", "user"),
)


@settings(max_examples=300, deadline=None)
@given(
    body=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=4),
    model=st.sampled_from([SONNET, OLD, NOVA, NOVA_2, GPT_OSS, GPT, MISTRAL, LLAMA, OWN]),
)
def test_absurd_values_are_refused_never_raised(body: dict[str, Any], model: str) -> None:
    try:
        Converse().request(call(model, **body), KEY, "")
    except UnsupportedParameter as refusal:
        assert refusal.param.split(".")[0] in _FIELDS  # noqa: PT017
