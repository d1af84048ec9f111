"""The call that a person may copy: against this very server, in three languages."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CHAT: Final = "/api/v1/chat/completions"
QUESTION: Final = "Say hello in five words."

MODELS: Final[Mapping[str, str]] = {
    "openai": "gpt-5.6",
    "openai-responses": "gpt-5.6",
    "anthropic": "claude-sonnet-5-5",
    "openrouter": "anthropic/claude-sonnet-5.5",
    "chutes": "moonshotai/Kimi-K2.6-TEE",
    "aws": "eu.anthropic.claude-sonnet-5-5",
    "azure": "the-name-of-your-deployment",
    "azure-responses": "the-name-of-your-deployment",
    "groq": "openai/gpt-oss-120b",
    "sambanova": "gpt-oss-120b",
    "vercel": "anthropic/claude-sonnet-5.5",
    "novita": "moonshotai/kimi-k2.6",
    "akash": "meta-llama/Llama-3.3-70B-Instruct",
    "nvidia": "meta/llama-3.3-70b-instruct",
    "google": "gemini-3.1-flash-lite",
    "hyperbolic": "meta-llama/Llama-3.3-70B-Instruct",
    "morpheus": "glm-5.1",
    "fireworks": "accounts/fireworks/models/glm-5p2",
    "together": "moonshotai/Kimi-K2.6",
    "sandbox": "sandbox/echo",
}
"""Slug → a model that docs/providers.md shows for it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One snippet."""

    language: str
    title: str
    text: str


def examples(base_url: str, slug: str) -> tuple[Example, ...]:
    """The call in curl, Python and JavaScript. The API key comes from the environment."""
    model = MODELS[slug]
    return (
        Example("curl", "curl", _curl(base_url, slug, model)),
        Example("python", "Python", _python(base_url, slug, model)),
        Example("javascript", "JavaScript", _javascript(base_url, slug, model)),
    )


def _curl(base_url: str, slug: str, model: str) -> str:
    message = json.dumps({"role": "user", "content": QUESTION})
    body = f'{{"model": {json.dumps(model)},\n       "messages": [{message}]}}'
    return (
        f"curl {shlex.quote(base_url + CHAT)} \\\n"
        '  -H "Authorization: Bearer $KEYTOLL_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -H {shlex.quote(f'x-byok-provider: {slug}')} \\\n"
        f"  -d {shlex.quote(body)}"
    )


def _python(base_url: str, slug: str, model: str) -> str:
    return f"""\
import os

from openai import OpenAI  # pip install openai

client = OpenAI(
    base_url={json.dumps(base_url + "/api/v1")},
    api_key=os.environ["KEYTOLL_API_KEY"],
)
answer = client.chat.completions.create(
    model={json.dumps(model)},
    messages=[{{"role": "user", "content": {json.dumps(QUESTION)}}}],
    extra_headers={{"x-byok-provider": {json.dumps(slug)}}},
)
print(answer.choices[0].message.content)
print(answer.model_extra.get("x_keytoll"))  # the receipt"""


def _javascript(base_url: str, slug: str, model: str) -> str:
    return f"""\
const response = await fetch({json.dumps(base_url + CHAT)}, {{
  method: "POST",
  headers: {{
    "Authorization": `Bearer ${{process.env.KEYTOLL_API_KEY}}`,
    "Content-Type": "application/json",
    "x-byok-provider": {json.dumps(slug)},
  }},
  body: JSON.stringify({{
    model: {json.dumps(model)},
    messages: [{{ role: "user", content: {json.dumps(QUESTION)} }}],
  }}),
}});
const answer = await response.json();
console.log(answer.choices[0].message.content);
console.log(answer.x_keytoll); // the receipt"""
