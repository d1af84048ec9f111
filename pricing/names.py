"""Canonical names: the many spellings of one model give one key (PRICES.md 2).

Used when entries are written into the book, and for books made of bare rows. A shipped book does
not ask these rules: what resolves in it is what it has `name` entries for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SERVICE_CLASSES: Final = frozenset({"batch", "flex", "priority", "fast"})
"""Variants after a colon that are sold at another service class: models of their own."""
_VENDORS: Final = (
    "ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia"
    "|openai|qwen|twelvelabs|writer|xai|zai"
)
_BEDROCK: Final = re.compile(
    rf"^(?:(?:us-gov|global|apac|us|eu|jp|au|ca|sa|in)\.)?(?:{_VENDORS})\.(?=[a-z])"
)
_BEDROCK_VERSION: Final = re.compile(r"-v\d+:\d+(?::\d+k)?$|-v1$|-1:\d+$|:\d+$")
_DATE: Final = re.compile(r"[-@]20\d{2}-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])(?=$|[-:])")
_POINT: Final = re.compile(r"(?<![\d.])(\d)[-_p](\d)(?![\d.]|[bmkx])")
_FREE: Final = re.compile(r"[-_]free$")
_SERVING: Final = re.compile(r"-(?:tee|fp8|fp4|nvfp4|bf16|awq|int4|maas|versatile|hf)$")
_TUNING: Final = re.compile(r"-(?:instruct|it)(?=-\d{4}$|$)")
_OPEN_SERVING: Final = re.compile(r"-(?:turbo|instant|lite)$")
_OPEN_WEIGHTS: Final = re.compile(
    r"^(?:(?:llama|qwen|mixtral|mistral|gemma|phi|nemotron).*\d+b|deepseek|gpt-oss)"
)
"""What others serve under names of their own; elsewhere -turbo and -lite are other models."""
_VERSION_LETTER: Final = re.compile(r"(?<=-)v(?=\d)")


class Names:
    """The rules, with the reviewed list of aliases that no rule can find."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases

    def key(self, model: str) -> str:
        """The canonical name of a model id, whoever spells it."""
        name = model.strip().lower().removesuffix("/community").rsplit("/", 1)[-1].lstrip("~")
        name, variant = self._of_bedrock(name) if _BEDROCK.match(name) else _parted(name)
        name = self._aliases.get(name, name)
        name = _trimmed(name)
        name = self._aliases.get(name, name)
        return f"{name}:{variant}" if variant in SERVICE_CLASSES else name

    def _of_bedrock(self, name: str) -> tuple[str, str]:
        """Without geography, vendor and version; some say with the version who they are."""
        name = _BEDROCK.sub("", name)
        return self._aliases.get(name, _BEDROCK_VERSION.sub("", name)), ""


def _parted(name: str) -> tuple[str, str]:
    name, _, variant = name.partition(":")
    return name, variant


def _trimmed(name: str) -> str:
    """Without date, serving suffixes and tuning; version numbers with a point."""
    name = _DATE.sub("", name.removesuffix("@default"))
    name = _POINT.sub(r"\1.\2", _VERSION_LETTER.sub("", name))
    name = re.sub(r"^(?:meta-(?=llama)|nvidia-(?=nemotron)|fw-)", "", name)
    name = re.sub(r"^(llama|gemma)(?=\d)", r"\1-", name)
    name = re.sub(r"^qwen-(?=\d)", "qwen", name)
    before = None
    while before != name:
        before = name
        name = _TUNING.sub("", _SERVING.sub("", _FREE.sub("", name)))
        if _OPEN_WEIGHTS.match(name):
            name = _OPEN_SERVING.sub("", name)
    return name
