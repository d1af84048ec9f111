"""The example calls are right in every language, whatever the address."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from api.providers.catalogue import PROVIDERS
from api.web.examples import MODELS, QUESTION, examples
from api.web.key_cards import monogram
from tests.api.management import BOOKS

URL = "https://toll.example"


def test_every_provider_has_a_model_that_the_price_book_knows() -> None:
    assert MODELS.keys() == PROVIDERS.keys()
    unknown = {slug for slug, model in MODELS.items() if not BOOKS.current.rows_of(slug, model)}
    # Nobody publishes AkashML's prices; deployments have any name.
    assert unknown == {"akash", "azure", "azure-responses"}


@pytest.mark.parametrize("slug", PROVIDERS)
def test_curl_sends_the_call(slug: str) -> None:
    words = shlex.split(examples(URL, slug)[0].text.replace("\\\n", " "))
    assert words[:2] == ["curl", f"{URL}/api/v1/chat/completions"]
    assert f"x-byok-provider: {slug}" in words
    assert json.loads(words[words.index("-d") + 1]) == {
        "model": MODELS[slug],
        "messages": [{"role": "user", "content": QUESTION}],
    }


@pytest.mark.parametrize("slug", ["openai", "sandbox"])
def test_python_is_python(slug: str) -> None:
    text = examples(URL, slug)[1].text
    ast.parse(text)
    assert f'base_url="{URL}/api/v1"' in text


def test_a_hostile_address_stays_text() -> None:
    evil = "http://x';rm -rf ~;\"`"
    curl, python, _ = (each.text for each in examples(evil, "openai"))
    assert shlex.split(curl.replace("\\\n", " "))[1] == f"{evil}/api/v1/chat/completions"
    ast.parse(python)


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("OpenAI", "OA"),
        ("Groq", "Gr"),
        ("NVIDIA", "NV"),
        ("AWS Bedrock", "AB"),
        ("Google AI Studio", "GS"),
    ],
)
def test_monograms(name: str, letters: str) -> None:
    assert monogram(name) == letters
