"""What an earlier answer or a schema held is sent on or refused by name, never just left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from api.providers.port import UnsupportedParameter
from tests.api.providers.chat_completions.calls import call

KEY = {"apiKey": "k" * 20, "region": "us-east-1", "apiVersion": "v1"}
MODELS = {
    "openai-responses": "gpt-5.6",
    "anthropic": "claude-sonnet-4-5",
    "aws": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "google": "gemini-2.5-flash",
    "together": "m",
    "groq": "m",
}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
ANSWERS: dict[str, Any] = {
    "audio": {"id": "audio_1"},
    "images": [PICTURE],
    "function_call": {"name": "f", "arguments": "{}"},
}


def sent(slug: str, **body: Any) -> Any:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    asked = call(model=MODELS[slug], **body)
    return json.loads(dialect.request(asked, KEY, "https://a.test").body)


def talk(**answer: Any) -> list[dict[str, Any]]:
    user = {"role": "user", "content": "hi"}
    return [user, {"role": "assistant", "content": "hey", **answer}, user]


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("slug", ["openai-responses", "anthropic", "aws", "google"])
def test_an_earlier_answer_of_another_kind(slug: str, name: str) -> None:
    messages = talk(**{name: ANSWERS[name]})
    if (slug, name) == ("google", "images"):
        (_, model, _) = sent(slug, messages=messages)["contents"]
        picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
        assert model == {"role": "model", "parts": [{"text": "hey"}, picture]}
        return
    with pytest.raises(UnsupportedParameter) as refused:
        sent(slug, messages=messages)
    assert refused.value.param == f"messages.1.{name}"
    nothing: dict[str, Any] = {name: [] if name == "images" else None}
    assert sent(slug, messages=talk(**nothing)) == sent(slug, messages=talk())


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("hey. ", "hey. No."),
        (None, "No."),
        ([{"type": "text", "text": "hey"}], [{"type": "text", "text": t} for t in ("hey", "No.")]),
    ],
)
def test_a_refusal_beside_words(content: Any, found: Any) -> None:
    messages = sent("groq", messages=talk(content=content, refusal="No."))["messages"]
    assert messages[1] == {"role": "assistant", "content": found}


@pytest.mark.parametrize("slug", ["openai-responses", "anthropic", "aws", "google", "together"])
def test_what_a_schema_is_for_is_told(slug: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    inner = {"name": "n", "description": "All about A.", "schema": schema}
    wanted = {"type": "json_schema", "json_schema": inner}
    assert json.dumps(sent(slug, response_format=wanted)).count("All about A.") == 1
    own = {**inner, "schema": {**schema, "description": "Its own."}}
    assert "Its own." in json.dumps(sent(slug, response_format={**wanted, "json_schema": own}))
