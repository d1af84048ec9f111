"""What the families of models on Bedrock take differently: thinking, and following a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.converse.request import THOUGHT_COUNT
from tests.api.providers.converse.calls import (
    ANCIENT,
    CALLED,
    COHERE,
    DEEPSEEK,
    GPT,
    GPT_OSS,
    LLAMA,
    NOVA,
    NOVA_2,
    OLD,
    OWN,
    SONNET,
    TOOL,
    refused,
    sent,
)


def format_of(**schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@pytest.mark.parametrize(
    ("model", "effort", "additional", "output"),
    [
        (
            SONNET,
            "minimal",
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            {"effort": "low"},
        ),
        (
            SONNET,
            "max",
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            {"effort": "max"},
        ),
        (SONNET, "none", {"thinking": {"type": "disabled"}}, None),
        (OLD, "medium", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None),
        (ANCIENT, "none", None, None),
        (GPT_OSS, "high", {"reasoning_effort": "high"}, None),
        (GPT_OSS, "none", None, None),
        (DEEPSEEK, "low", {"reasoning_effort": "low"}, None),
        (GPT, "xhigh", {"reasoning": {"effort": "xhigh"}}, None),
        (GPT, "none", {"reasoning": {"effort": "none"}}, None),
        (
            NOVA_2,
            "low",
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
            None,
        ),
        (NOVA_2, "none", None, None),
        (NOVA, "none", None, None),
    ],
)
def test_effort_as_each_family_takes_it(
    model: str, effort: str, additional: Any, output: Any
) -> None:
    body = sent(model, reasoning_effort=effort)
    assert body.get("additionalModelRequestFields") == additional
    assert body.get("outputConfig") == output


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        *((ANCIENT, "low"), (NOVA, "low"), (NOVA_2, "minimal"), (LLAMA, "low"), (OWN, "low")),
        *((GPT_OSS, "max"), (SONNET, "absurd")),
    ],
)
def test_an_effort_that_cannot_be_made_is_refused(model: str, effort: str) -> None:
    assert refused(model, reasoning_effort=effort) == "reasoning_effort"


def test_claude_s_count_of_its_thoughts_is_asked_for() -> None:
    assert sent(OLD, reasoning_effort="low")["additionalModelResponseFieldPaths"] == [THOUGHT_COUNT]
    own = sent(OLD, thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=4000)
    assert own["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2000
    assert own["additionalModelResponseFieldPaths"] == [THOUGHT_COUNT]
    for quiet in (sent(OLD), sent(OLD, reasoning_effort="none"), sent(GPT_OSS)):
        assert "additionalModelResponseFieldPaths" not in quiet
    assert refused(NOVA_2, thinking={"type": "enabled"}) == "thinking"


def test_a_budget_fits_into_the_limit() -> None:
    def thinking(limit: int) -> Any:
        body = sent(OLD, reasoning_effort="high", max_tokens=limit)
        return body["additionalModelRequestFields"]["thinking"]["budget_tokens"]

    assert thinking(4097) == 4096
    assert thinking(4096) == 4095
    assert thinking(1025) == 1024
    assert refused(OLD, reasoning_effort="high", max_tokens=1024) == "reasoning_effort"
    # Without a limit the model's own is told: the budget has to be below one.
    body = sent(OLD, reasoning_effort="high")
    assert body["inferenceConfig"]["maxTokens"] == 64_000


def test_a_budget_is_left_out_when_the_thoughts_before_a_call_were_not_kept() -> None:
    assert "additionalModelRequestFields" not in sent(
        OLD, messages=CALLED, reasoning_effort="low", tools=[TOOL]
    )
    kept = json.loads(json.dumps(CALLED))
    kept[1]["reasoning_details"] = [{"text": "hm", "signature": "c2ln"}]
    body = sent(OLD, messages=kept, reasoning_effort="low", tools=[TOOL])
    assert body["additionalModelRequestFields"]["thinking"]["type"] == "enabled"


@pytest.mark.parametrize("model", [SONNET, GPT_OSS, "qwen.qwen3-32b-v1:0", OWN])
def test_a_schema_where_it_is_known(model: str) -> None:
    wanted = format_of(type="object", properties={"n": {"type": "integer", "minimum": 1}})
    wanted["json_schema"]["description"] = "A number."
    told = sent(model, response_format=wanted)["outputConfig"]["textFormat"]
    assert told["type"] == "json_schema"
    definition = told["structure"]["jsonSchema"]
    assert (definition["name"], definition["description"]) == ("answer", "A number.")
    assert json.loads(definition["schema"]) == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
        "additionalProperties": False,
    }


@pytest.mark.parametrize("model", [ANCIENT, NOVA, NOVA_2])
def test_a_schema_as_a_tool(model: str) -> None:
    wanted = format_of(type="object", properties={})
    tools = sent(model, response_format=wanted)["toolConfig"]
    assert tools["toolChoice"] == {"tool": {"name": "answer_as_json"}}
    assert [tool["toolSpec"]["name"] for tool in tools["tools"]] == ["answer_as_json"]
    assert refused(model, response_format=wanted, tools=[TOOL]) == "response_format"


@pytest.mark.parametrize("model", [LLAMA, COHERE, "amazon.titan-text-lite-v1", "deepseek.r1-v1:0"])
def test_a_schema_that_cannot_be_followed_is_refused(model: str) -> None:
    assert refused(model, response_format=format_of(type="object")) == "response_format"


def test_other_formats() -> None:
    assert "outputConfig" not in sent(response_format={"type": "text"})
    body = sent(LLAMA, response_format={"type": "json_object"})
    assert "JSON object" in body["system"][-1]["text"]
    assert refused(response_format={"type": "grammar"}) == "response_format"
    assert refused(response_format={"type": "json_schema"}) == "response_format"
    assert (
        refused(NOVA_2, response_format=format_of(type="object"), reasoning_effort="low")
        == "response_format"
    )
