"""What the scripted upstream understands of a request, and what an answer is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Ending = Literal["whole", "cut", "never"]


@dataclass(frozen=True)
class Gate:
    """The answer waits here until the test opens the gate, or for ever."""

    name: str


Piece = bytes | float | Gate
"""Bytes to write, seconds to wait, or a gate."""


@dataclass
class Plan:
    """One answer."""

    pieces: list[Piece]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ending: Ending = "whole"
    framing: Literal["chunked", "length", "close"] = "chunked"
    before_head: Piece | None = None
    """What happens before the status line."""
    billed: bool = True
    """The provider counts this call's tokens."""


@dataclass(frozen=True)
class Ask:
    """A request, as the upstream understands it."""

    protocol: Literal["openai", "anthropic"]
    body: Json
    identity: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def words(self) -> list[str]:
        """The last user message."""
        users = [m for m in self.body["messages"] if isinstance(m, dict) and m["role"] == "user"]
        last = users[-1].get("content") if users else ""
        if isinstance(last, list):
            last = " ".join(str(p.get("text", "")) for p in last if isinstance(p, dict))
        return str(last).split() or ["plain"]

    @property
    def name(self) -> str:
        return self.words[1] if len(self.words) > 1 else ""
