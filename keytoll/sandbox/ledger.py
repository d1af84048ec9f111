"""The sandbox's own count of what it served, to hold against what keytoll says."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

CALLS_KEPT: Final = 10_000

State = Literal["running", "complete", "cut", "cancelled"]


@dataclass(slots=True)
class Served:
    """One call that the sandbox began to answer."""

    id: str
    model: str
    stream: bool
    prompt_tokens: int
    completion_tokens: int = 0
    state: State = "running"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "model": self.model,
            "stream": self.stream,
            "state": self.state,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


@dataclass(slots=True)
class Ledger:
    """Every call since start in totals, and the latest CALLS_KEPT one by one."""

    begun: int = 0
    refused: int = 0
    settled: dict[str, dict[str, int]] = field(default_factory=dict)
    calls: deque[Served] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))
    open: dict[str, Served] = field(default_factory=dict)

    def begin(self, model: str, *, stream: bool, prompt_tokens: int) -> Served:
        """Count a call whose answer is about to start."""
        self.begun += 1
        call = Served(f"chatcmpl-sandbox{self.begun}", model, stream, prompt_tokens)
        self.calls.append(call)
        self.open[call.id] = call
        return call

    def end(self, call: Served, state: State) -> None:
        """The answer is over, in whatever way."""
        call.state = state
        del self.open[call.id]
        _add(self.settled, call)

    def as_json(self) -> dict[str, Any]:
        """What `GET /served` answers."""
        models = {model: dict(row) for model, row in self.settled.items()}
        for call in self.open.values():
            _add(models, call)
        return {
            "requests": self.begun,
            "refused": self.refused,
            "prompt_tokens": sum(row["prompt_tokens"] for row in models.values()),
            "completion_tokens": sum(row["completion_tokens"] for row in models.values()),
            "models": models,
            "calls": [call.as_json() for call in self.calls],
        }


def _add(totals: dict[str, dict[str, int]], call: Served) -> None:
    names = ("requests", "complete", "cut", "cancelled", "running")
    row = totals.setdefault(
        call.model, dict.fromkeys((*names, "prompt_tokens", "completion_tokens"), 0)
    )
    row["requests"] += 1
    row[call.state] += 1
    row["prompt_tokens"] += call.prompt_tokens
    row["completion_tokens"] += call.completion_tokens
