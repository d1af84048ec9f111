"""How many tokens a text has, where the provider did not say.

An estimate has to come close to what the provider would have reported and must not exceed it
(BILLING.md 1). So it counts only text that went out or came back, with tiktoken, and multiplies by
a factor of the model's family that was fitted on recorded pairs (bench/estimate.py). There is no
guess at hidden reasoning or images, and no margin on top. Counts feed money: no floats here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import tiktoken

from api.chat.encodings import EncodingName, ranks
from api.chat.prompt_text import ToolForm, prompt_texts
from domain.events.base import JsonObject
from domain.money import text_of

THREAD_CHARS: Final = 20_000
"""Longer texts are counted in a thread: about 2 ms of work on the event loop at most."""
BLOCK_CHARS: Final = 8192
"""tiktoken's time grows with the square of an unbroken run, and its splitting overflows its stack
on some (a million spaces), so a text is counted in blocks of this size."""
CUT_TOKENS: Final = 4
"""Taken off wherever a block had to end inside a run: cutting may only make a count smaller."""

_PATTERNS: Final[dict[EncodingName, str]] = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""How each encoding splits a text before merging (tiktoken's own definition, see NOTICE)."""

_BEFORE_SPACE: Final = re.compile(r"(?<=\S) ")
"""No token of either encoding continues from a visible character into a space."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a tokenizer, more or less, and the form in which they get to see tools."""

    name: str
    pattern: re.Pattern[str]
    per_mille: int
    """Of tiktoken's count: what is left of it in the estimate."""
    tools: ToolForm
    encoding: EncodingName


def _family(
    name: str,
    pattern: str,
    per_mille: int,
    *,
    tools: ToolForm,
    encoding: EncodingName = "o200k_base",
) -> Family:
    return Family(name, re.compile(pattern, re.IGNORECASE), per_mille, tools, encoding)


_CL100K: Final = r"gpt-3\.5|gpt-35|gpt-4(?![.o\d])(?!-(5|o))|davinci-002|babbage-002"
FAMILIES: Final = (
    _family("gpt-oss", r"gpt-oss", 990, tools="signature"),
    _family("gpt-cl100k", _CL100K, 990, tools="signature", encoding="cl100k_base"),
    _family("gpt", r"gpt|(^|[/.])o[1-9]|codex", 990, tools="signature"),
    _family("claude", r"claude", 1000, tools="json"),
    _family("gemini", r"gemini|gemma", 900, tools="names"),
    _family("deepseek", r"deepseek", 980, tools="signature"),
    _family("nova", r"nova-", 900, tools="names"),
    _family("llama", r"llama", 850, tools="signature"),
    _family("open", r"qwen|glm-|kimi|grok|mistral|mixtral|command-", 900, tools="names"),
)
"""The first that fits counts. bench/estimate.py shows what each factor does on recorded pairs."""
OTHER: Final = _family("other", r"", 750, tools="names")
"""A model that no family knows gets the smallest factor that any known tokenizer needs."""


class Estimator:
    """Counts and estimates. Load it once, at start-up: it takes about a third of a second."""

    def __init__(self, encodings: dict[EncodingName, tiktoken.Encoding]) -> None:
        self.encodings = encodings

    @classmethod
    def load(cls) -> Estimator:
        """Open both encodings from the files of the package. Raises DamagedEncoding."""
        return cls({name: _encoding(name) for name in _PATTERNS})

    def encoding_for(self, model: str) -> EncodingName:
        """The encoding that models of this name are counted with."""
        return family_of(model).encoding

    def count(self, text: str, model: str) -> int:
        """tiktoken's count; never above it, in time that grows with the length only."""
        encode = self.encodings[self.encoding_for(model)].encode_ordinary
        total = 0
        for block, cut in _blocks(text):
            tokens = len(encode(block))
            total += max(0, tokens - CUT_TOKENS) if cut else tokens
        return total

    def estimate(self, texts: Iterable[str], model: str) -> int:
        """What the provider would have reported for these texts, or somewhat less."""
        counted = sum(self.count(text, model) for text in texts)
        return (counted * family_of(model).per_mille + 500) // 1000

    async def estimate_async(self, texts: Sequence[str], model: str) -> int:
        """The same; long texts do not hold up the event loop."""
        if sum(map(len, texts)) <= THREAD_CHARS:
            return self.estimate(texts, model)
        return await asyncio.to_thread(self.estimate, texts, model)

    async def estimate_prompt_async(self, body: JsonObject, model: str) -> int:
        """The same for all text of a chat completion's request."""
        return await self.estimate_async(prompt_texts(body, family_of(model).tools), model)

    def method(self, model: str, counted: Sequence[str]) -> JsonObject:
        """The `method` of UsageEstimated: how anybody can reckon the estimate again."""
        family = family_of(model)
        return {
            "encoding": family.encoding,
            "factor": text_of(Decimal(family.per_mille).scaleb(-3)),
            "family": family.name,
            "counted": list(counted),
        }


def family_of(model: str) -> Family:
    """The first family that the model's name belongs to."""
    return next((family for family in FAMILIES if family.pattern.search(model)), OTHER)


def _encoding(name: EncodingName) -> tiktoken.Encoding:
    table = ranks(name)
    encoding = tiktoken.Encoding(
        name, pat_str=_PATTERNS[name], mergeable_ranks=table, special_tokens={}
    )
    # The counting is done in a copy of its own; this one would lie in memory for good (38 MiB).
    table.clear()
    return encoding


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """The text in blocks, and for each whether it ends inside a run."""
    start = 0
    while len(text) - start > BLOCK_CHARS:
        end = start + BLOCK_CHARS
        spaces = [found.start() for found in _BEFORE_SPACE.finditer(text, end - 1024, end)]
        yield text[start : spaces[-1] if spaces else end], not spaces
        start = spaces[-1] if spaces else end
    yield text[start:], False
