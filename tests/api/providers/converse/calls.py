"""Calls to Bedrock as tests make them, and Amazon's own word on what it takes."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

import pytest
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator

from api.providers.converse.dialect import Converse
from api.providers.port import ChatCall, UnsupportedParameter
from tests.instants import AT

HI: Final = [{"role": "user", "content": "Hello"}]
TOOL: Final = {
    "type": "function",
    "function": {"name": "paint", "parameters": {"type": "object"}},
}
SONNET: Final = "us.anthropic.claude-sonnet-4-6"
OLD: Final = "anthropic.claude-sonnet-4-20250514-v1:0"
ANCIENT: Final = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA: Final = "amazon.nova-lite-v1:0"
NOVA_2: Final = "us.amazon.nova-2-lite-v1:0"
LLAMA: Final = "us.meta.llama3-3-70b-instruct-v1:0"
GPT_OSS: Final = "openai.gpt-oss-120b-1:0"
GPT: Final = "openai.gpt-5.6"
DEEPSEEK: Final = "deepseek.v3-v1:0"
MISTRAL: Final = "mistral.mistral-large-2407-v1:0"
COHERE: Final = "cohere.command-r-v1:0"
OWN: Final = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123def456"
KEY: Final = {"apiKey": "ABSKtest0123456789", "region": "eu-west-1"}
ACCESS: Final = {
    "accessKeyId": "AKIDEXAMPLE00000",
    "secretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "region": "eu-west-1",
}

CALLED: Final[list[dict[str, Any]]] = [
    *HI,
    {
        "role": "assistant",
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "paint", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "done"},
]
"""A conversation whose last turn returns a tool's result."""


def call(model: str, **body: Any) -> ChatCall:
    body.setdefault("messages", HI)
    return ChatCall(
        body={"model": model, **body},
        model=model,
        stream=body.get("stream", False),
        wants_usage=False,
        choices=1,
        at=AT,
    )


def sent(model: str = SONNET, /, **body: Any) -> dict[str, Any]:
    """The upstream body, after Amazon's service model has approved of it."""
    request = Converse().request(call(model, **body), KEY, "")
    found: dict[str, Any] = json.loads(request.body)
    problems = complaints(found, model, stream=body.get("stream", False))
    assert not problems, problems
    return found


def refused(model: str = SONNET, /, **body: Any) -> str:
    """The parameter that was refused."""
    with pytest.raises(UnsupportedParameter) as error:
        Converse().request(call(model, **body), KEY, "")
    return error.value.param


def complaints(body: dict[str, Any], model: str, *, stream: bool) -> str:
    """What is wrong with a body by the service model: types, limits, patterns, unknown members."""
    shape = operation("ConverseStream" if stream else "Converse").input_shape
    assert shape is not None
    report = ParamValidator().validate({"modelId": model, **body}, shape)
    found = [report.generate_report()] if report.has_errors() else []
    found.extend(_words_out_of_place(shape, {"modelId": model, **body}, "body"))
    return "\n".join(found)


@cache
def operation(name: str) -> OperationModel:
    model = Loader().load_service_model("bedrock-runtime", "service-2")
    return ServiceModel(model).operation_model(name)


def _words_out_of_place(shape: Shape, value: Any, path: str) -> list[str]:
    """What botocore leaves to the service: enumerations, patterns and the lengths of texts."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return [
            complaint
            for name, inner in value.items()
            if name in shape.members
            for complaint in _words_out_of_place(shape.members[name], inner, f"{path}.{name}")
        ]
    if shape.type_name == "list":
        return [
            complaint
            for place, inner in enumerate(value)
            for complaint in _words_out_of_place(shape.member, inner, f"{path}.{place}")
        ]
    if shape.type_name != "string":
        return []
    rules = shape.metadata
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        return [f"{path}: {value!r} is none of {allowed}"]
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        return [f"{path}: {value!r} does not look like {rules['pattern']}"]
    if not rules.get("min", 0) <= len(value) <= rules.get("max", len(value)):
        return [f"{path}: {value!r} is too short or too long"]
    return []
