"""The provider of a run: answers each call as its number says, and writes down what it served.

It runs in the process of the harness, which nothing kills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.e2e import script
from tests.e2e.plan import Ask, Json, Piece, Plan
from tests.e2e.upstream import ScriptedUpstream, Served, _Request
from tests.e2e.voices.chat import Chat, Place
from tests.e2e.voices.messages import Messages
from tests.torture.calls import Call, call_of, number_of

SLUGS: Final[Mapping[str, Place | None]] = {
    "openai": "asked",
    "anthropic": None,
    "groq": "thrice",
    "openrouter": "after",
}
"""Where a stream tells its usage; None speaks Messages."""


@dataclass(frozen=True)
class _Chat(Chat):
    seed: int = field(default=0, kw_only=True)

    def usage(self, ask: Ask) -> Json:
        counts = call_of(self.seed, number_of(ask.name)).counts
        return {
            **super().usage(ask),
            "prompt_tokens_details": {"cached_tokens": counts.cached_input_tokens},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        }


class _Messages(Messages):
    def __init__(self, seed: int) -> None:
        self._seed = seed

    def usage(self, ask: Ask) -> Json:
        counts = call_of(self._seed, number_of(ask.name)).counts
        return {
            **super().usage(ask),
            "input_tokens": counts.input_tokens - counts.cached_input_tokens,
            "cache_read_input_tokens": counts.cached_input_tokens,
        }


class TorturedProvider(ScriptedUpstream):
    """Four providers that know each call by its number."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._voices = {
            slug: _Messages(seed) if place is None else _Chat(usage_at=place, seed=seed)
            for slug, place in SLUGS.items()
        }

    def base_urls(self) -> dict[str, str]:
        return {slug: f"{self.address}/{slug}" for slug in SLUGS}

    def _begin(self, request: _Request, body: Json) -> tuple[Served, Plan]:
        _, slug, path = request.path.split("/", 2)
        voice = self._voices[slug]
        heard = voice.hear(f"/{path}", body)
        call = call_of(self._seed, number_of(heard.text.split()[1]))
        counts = call.counts
        identity = f"up-{call.number}"
        ask = Ask(
            *(slug, voice, f"/{path}", body, heard, identity),
            *(counts.input_tokens, counts.output_tokens),
        )
        plan = slowed(_plan(call, ask, request.key), call)
        served = Served(
            id=identity,
            name=call.name,
            slug=slug,
            model=heard.model,
            stream=heard.stream,
            prompt_tokens=counts.input_tokens if plan.billed else 0,
            completion_tokens=counts.output_tokens if plan.billed else 0,
        )
        with self._changed:
            self.served.append(served)
            self._changed.notify_all()
        return served, plan


def _plan(call: Call, ask: Ask, key: str) -> Plan:
    behaviour = "plain" if call.behaviour in {"whole", "left"} else call.behaviour
    return script.BEHAVIOURS[behaviour](ask, key)


def slowed(plan: Plan, call: Call) -> Plan:
    """The same answer in the time that the call takes: before the head, or between the pieces."""
    if not call.answer_s:
        return plan
    if not call.stream or plan.status != 200 or len(plan.pieces) < 2:
        return replace(plan, before_head=call.answer_s)
    pieces: list[Piece] = []
    for piece in plan.pieces:
        pieces += [piece, call.answer_s / len(plan.pieces)]
    return replace(plan, pieces=pieces)
