"""How each provider speaks, for the scripted upstream: one voice a slug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.e2e.plan import Voice
from tests.e2e.voices.chat import Chat
from tests.e2e.voices.converse import Converse
from tests.e2e.voices.gemini import Gemini
from tests.e2e.voices.messages import Messages
from tests.e2e.voices.responses import Responses

OPENAI: Final = Chat()
VOICES: Final[Mapping[str, Voice]] = {
    "openai": OPENAI,
    "openai-responses": Responses(),
    "anthropic": Messages(),
    "openrouter": Chat(usage_at="after"),
    "chutes": Chat(),
    "aws": Converse(),
    "azure": Chat(),
    "azure-responses": Responses(),
    "groq": Chat(usage_at="thrice"),
    "sambanova": Chat(),
    "vercel": Chat(usage_at="finish"),
    "novita": Chat(usage_at="always"),
    "akash": Chat(),
    "nvidia": Chat(),
    "google": Gemini(),
    "hyperbolic": Chat(),
    "morpheus": Chat(),
    "fireworks": Chat(usage_at="finish", extras=frozenset({"context_length_exceeded_behavior"})),
    "together": Chat(
        usage_at="finish", cached_at_top=True, extras=frozenset({"response_format.schema"})
    ),
}
