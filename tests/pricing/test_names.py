"""Spellings of one model give one key."""

from __future__ import annotations

import pytest

from tests.pricing.build import NAMES


@pytest.mark.parametrize(
    "spelling",
    [
        "meta/llama-3.3-70b-instruct",
        "llama-3.3-70b-versatile",
        "accounts/fireworks/models/llama-v3p3-70b-instruct",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo-Free",
        "meta-llama/llama-3.3-70b-instruct:free",
        "meta.llama3-3-70b-instruct-v1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.meta.llama3-3-70b-instruct-v1:0",
        "Meta-Llama-3-3-70B-Instruct",
        "llama-3.3-70b",
        "Llama-3.3-70B-Instruct",
        "meta/llama-3.3-70b",
        "Meta-Llama-3.3-70B-Instruct",
        "chutesai/Llama-3.3-70B-Instruct-TEE",
        "meta/llama-3.3-70b-instruct-maas",
    ],
)
def test_every_spelling_of_llama(spelling: str) -> None:
    assert NAMES.key(spelling) == "llama-3.3-70b"


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4.5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4.5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4.5"),
        ("claude-opus-4-20250514", "claude-opus-4"),
        ("claude-3-5-sonnet-20241022", "claude-sonnet-3.5"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-5-4", "gpt-5.4"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("openai/gpt-oss-120b:nitro", "gpt-oss-120b"),
        ("google/gemma-3-4b-it", "gemma-3-4b"),
        ("meta-llama/llama-3-8b-instruct", "llama-3-8b"),
    ],
)
def test_other_spellings(spelling: str, key: str) -> None:
    assert NAMES.key(spelling) == key
    assert NAMES.key(key) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4", "gpt-4-turbo"),
        ("gpt-4", "gpt-4-32k"),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-16k"),
        ("gpt-5", "gpt-5-pro"),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
        ("gpt-oss-20b", "gpt-oss-safeguard-20b"),
        ("x/llama-3.3-70b", "x/llama-3.3-70b:batch"),
        ("x/llama-3.3-70b", "x/llama-3.3-70b:flex"),
        ("llama-3-8b", "llama-3.1-8b"),
        ("gemma-3-4b", "gemma-3-12b"),
    ],
)
def test_models_that_are_not_the_same(one: str, other: str) -> None:
    assert NAMES.key(one) != NAMES.key(other)
