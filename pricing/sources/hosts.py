"""What each source calls our providers, and which of its ids are chat models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Host:
    """One of our providers, as the sources know it."""

    genai_prices: str | None = None
    models_dev: str | None = None
    pi_ai: str | None = None
    only: str = ""
    """Where a source lumps hosts together: what an id of this one looks like."""
    never: str = r"(?!)"
    """Further ids that are no chat models of this provider, each for the reason beside it."""
    path: str = ""
    """The path that ids stand under; a short id is another name of the whole one."""


HOSTS: Final[dict[str, Host]] = {
    # Open weights and variants as others sell them; prefixes of fine-tuned models; engines
    # that do not chat.
    "openai": Host(
        "openai",
        "openai",
        never=r"gpt-oss|:|^ft|\.ft-|image|^(?:text-)?(?:ada|babbage|curie|davinci)|code-search|search-doc",
    ),
    "anthropic": Host("anthropic", "anthropic"),
    # Routers: what they cost is what they chose.
    "openrouter": Host("openrouter", "openrouter", "openrouter", never=r"^(?:openrouter/|auto$)"),
    "chutes": Host(None, "chutes"),
    "aws": Host("aws", "amazon-bedrock"),
    # The router's fee comes on top of the model that it chose, so it is no price of a call.
    "azure": Host(
        "azure",
        "azure",
        never=r"model.router|:free|image|container|^(?:text-)?(?:ada|babbage|curie|davinci)",
    ),
    "groq": Host("groq", "groq", never=r"^groq/compound"),
    "sambanova": Host(),
    "vercel": Host(None, "vercel", "vercel-ai-gateway", never=r"^parallel/|grok-voice"),
    "novita": Host("novita", "novita-ai"),
    "akash": Host(),
    "nvidia": Host(
        None,
        "nvidia",
        never=r"bge|esm|active-speaker|bevformer|gliner|retriever|riva|sparsedrive|streampetr"
        r"|studiovoice|video-detector|usdvalidate|nv-emb|voicechat",
    ),
    # genai-prices puts Vertex AI (`-maas`) and the Gemini API under one roof.
    "google": Host(
        "google", "google", only=r"^(?:gemini|gemma|learnlm|deep-research)", never=r"-maas$"
    ),
    "hyperbolic": Host(),
    "morpheus": Host(),
    "fireworks": Host("fireworks", "fireworks-ai", path="accounts/fireworks/models/"),
    # Size classes, by which it once priced what it does not name.
    "together": Host("together", "togetherai", never=r"^together-ai-"),
}
"""openai-responses and azure-responses are priced by the rows of openai and azure."""

_NEVER_CHAT: Final = re.compile(
    r"embed|rerank|whisper|(?:^|[-/])(?:tts|stt)\b|transcri|translat|moderation|dall-e|sora-|veo-"
    r"|imagen|flux|stable-diffusion|orpheus|speech|realtime|gpt-live|-live(?:-|$)|[-/]voyage-"
    r"|titan-image|nova-canvas|nova-reel|sonic|gpt-image|lyria|-ocr\b|prompt-guard",
    re.IGNORECASE,
)


def is_chat(provider: str, model: str) -> bool:
    """Whether an id can be a chat model of the provider."""
    host = HOSTS[provider]
    return bool(
        not _NEVER_CHAT.search(model)
        and re.search(host.only, model)
        and not re.search(host.never, model)
    )
