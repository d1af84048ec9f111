"""Every call of a run, known from the seed and its number alone: what is asked, how the provider
answers, and so what must be billed, whoever dies in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from typing import Final, Literal

from tests.e2e.plan import Json

Behaviour = Literal[
    "whole",
    "left",
    "silent",
    "cut",
    "cut-before-head",
    "error-inside",
    "status-400",
    "status-429",
    "status-500",
    "status-503",
]
WEIGHTS: Final[dict[Behaviour, int]] = {
    "whole": 62,
    "left": 8,
    "silent": 8,
    "cut": 6,
    "cut-before-head": 4,
    "error-inside": 4,
    "status-400": 3,
    "status-429": 1,
    "status-500": 2,
    "status-503": 2,
}
"""How often a provider answers so. `left` is answered whole, but the caller does not stay."""
MODELS: Final = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4.1"),
    ("openai", "unheard-of-1"),
    ("anthropic", "claude-sonnet-4-5"),
    ("groq", "openai/gpt-oss-20b"),
    ("openrouter", "meta-llama/llama-3.3-70b-instruct"),
    ("openrouter", "meta-llama/llama-3.3-70b-instruct:free"),
)
"""Priced ones, a free one with a paid version, and one that no price book has heard of."""
ACCOUNTS: Final = 3
_UNREPORTED: Final = tuple(each for each in WEIGHTS if each not in {"whole", "left"})


@dataclass(frozen=True)
class Counts:
    """Tokens as the provider reports them; cached and reasoning ones are part of the others."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True)
class Call:
    """One call."""

    number: int
    account: int
    """Which account calls."""
    provider: str
    model: str
    stream: bool
    behaviour: Behaviour
    answer_s: float
    """How long the provider takes."""
    leave_s: float | None
    """When the caller goes away."""
    proxy: float
    """Which proxy is asked, as a part of 1."""
    counts: Counts

    @property
    def name(self) -> str:
        """Tag of the call, and the one word of its prompt that differs from call to call.

        Three digits are one token to each encoding, so all prompts have equally many.
        """
        return f"c{self.number:06d}"

    @property
    def kind(self) -> tuple[str, str, str, bool]:
        """Calls of one kind are all settled alike, where nothing disturbs them."""
        return self.provider, self.model, self.behaviour, self.stream

    def body(self) -> Json:
        """What the caller sends."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": f"torture {self.name}"}],
            "stream": self.stream,
            "byok": {"provider": self.provider, "tags": {"call": self.name}},
        }


def rehearsed() -> list[tuple[str, str, Behaviour, bool]]:
    """The kinds whose settlement is not told by the provider: the first calls of every run, made
    in peace, one for each, show how they are settled."""
    kinds = product(MODELS, _UNREPORTED, (False, True))
    return [(provider, model, behaviour, stream) for (provider, model), behaviour, stream in kinds]


def number_of(name: str) -> int:
    """The number of a call by its tag."""
    return int(name.removeprefix("c"))


@cache
def call_of(seed: int, number: int) -> Call:
    """The call of this number, the same in every run of the seed."""
    dice = Random(f"{seed}:{number}")
    kinds = rehearsed()
    if number < len(kinds):
        provider, model, behaviour, stream = kinds[number]
    else:
        provider, model = dice.choice(MODELS)
        [behaviour] = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        stream = dice.random() < 0.6 or behaviour == "left"
    slow = number >= len(kinds)
    inputs, outputs = dice.randrange(20, 9000), dice.randrange(8, 1200)
    answer_s = dice.expovariate(2.0) if slow else 0.0
    return Call(
        number=number,
        account=dice.randrange(ACCOUNTS),
        provider=provider,
        model=model,
        stream=stream,
        behaviour=behaviour,
        answer_s=min(answer_s, 6.0),
        leave_s=dice.uniform(0.0, 1.2) * answer_s if behaviour == "left" else None,
        proxy=dice.random(),
        counts=Counts(
            inputs, dice.choice((0, dice.randrange(inputs))), outputs, dice.randrange(outputs)
        ),
    )
