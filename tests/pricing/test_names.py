"""Spellings of one model give one key."""

from __future__ import annotations

import tomllib

import pytest

from pricing.load import DATA
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
        ("llama3-1-8b", "llama-3.1-8b"),
        ("gemma2-9b-it", "gemma-2-9b"),
        ("qwen/qwen-2.5-72b-instruct", "qwen2.5-72b"),
        ("Qwen/Qwen2.5-7B-Instruct-Turbo", "qwen2.5-7b"),
        ("moonshotai/kimi-k2-instruct-0905", "kimi-k2-0905"),
        ("claude-opus-5@default", "claude-opus-5"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss-120b"),
        ("FW-GPT-OSS-120B", "gpt-oss-120b"),
        ("in.openai.gpt-5.6-luna", "gpt-5.6-luna"),
        ("us.xai.grok-4.6", "grok-4.6"),
        ("nvidia.nemotron-nano-9b-v2", "nemotron-nano-9b-2"),
        ("nvidia/nvidia-nemotron-nano-9b-v2", "nemotron-nano-9b-2"),
        ("us.deepseek.r1-v1:0", "deepseek-r1"),
        ("deepseek.v3-v1:0", "deepseek-3.1"),
        ("anthropic.claude-v2:1", "claude-2.1"),
        ("meta.llama4-scout-17b-instruct-v1:0", "llama-4-scout"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout"),
        ("deepseek/deepseek-r1/community", "deepseek-r1"),
        ("~anthropic/claude-haiku-latest", "claude-haiku-latest"),
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
        ("qwen-turbo", "qwen-plus"),
        ("glm-5", "glm-5-turbo"),
        ("kimi-k2", "kimi-k2-turbo"),
        ("kimi-k3", "kimi-k3-fast"),
        ("anthropic.claude-v1", "anthropic.claude-v2"),
        ("qwen3-235b-a22b-instruct-2507", "qwen3-235b-a22b-thinking-2507"),
    ],
)
def test_models_that_are_not_the_same(one: str, other: str) -> None:
    assert NAMES.key(one) != NAMES.key(other)


def test_aliases_lead_to_names_that_stay() -> None:
    aliases = tomllib.loads((DATA.parent / "aliases.toml").read_text("utf-8"))
    for spelling, name in aliases.items():
        assert spelling == spelling.lower()
        # Only Bedrock's ids hold a colon that is no variant.
        whole = f"anthropic.{spelling}" if ":" in spelling else spelling
        assert NAMES.key(whole) == NAMES.key(name) == NAMES.key(NAMES.key(name)), spelling
