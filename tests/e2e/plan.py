"""What the scripted upstream understands of a request, and what an answer is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

Json = dict[str, Any]
Ending = Literal["whole", "cut", "never"]
WORDS: Final = tuple(f"word{number} " for number in range(12))
"""What every provider says when nothing else is asked of it."""
TEXT: Final = "".join(WORDS)
CITY: Final = ('{"city"', ':"Ulm"}')
"""The arguments of the tool that is called when there are any, as they arrive in a stream."""
CACHED: Final = 7
"""Tokens of every prompt that were read from a cache."""
REASONED: Final = 5
"""Tokens of every answer that were thoughts."""


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
class Heard:
    """The same of every protocol."""

    model: str
    stream: bool
    text: str
    """The last thing that a user said."""
    tool: str | None = None
    """The tool that is called in answer."""
    choices: int = 1


@dataclass(frozen=True)
class Ask:
    """A request, as the upstream understands it."""

    slug: str
    voice: Voice
    path: str
    """Without the base URL."""
    body: Json
    heard: Heard
    identity: str
    prompt_tokens: int
    """Cached ones included."""
    completion_tokens: int
    """Thoughts included."""

    @property
    def stream(self) -> bool:
        return self.heard.stream

    @property
    def model(self) -> str:
        return self.heard.model

    @property
    def words(self) -> list[str]:
        """The last user message."""
        return self.heard.text.split() or ["plain"]

    @property
    def say(self) -> tuple[str, ...]:
        """The text of the answer, as it arrives in a stream."""
        return CITY if self.words[0] == "object" else WORDS

    @property
    def name(self) -> str:
        return self.words[1] if len(self.words) > 1 else ""


class Voice(Protocol):
    """One protocol, as a provider speaks it."""

    @property
    def stream_type(self) -> str:
        """The content type of a stream."""

    def hear(self, path: str, body: Json) -> Heard:
        """What a request asks. Raises KeyError or ValueError if no provider would take it."""

    def whole(self, ask: Ask, *, text: str | None = None, usage: bool = True) -> bytes:
        """A JSON answer; without a text it says what `ask.say` holds."""

    def said(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        """A stream up to and including the last word."""

    def delta(self, ask: Ask, text: str) -> bytes:
        """One more piece of text in a stream."""

    def finish(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        """What tells that nothing more will be said."""

    def tail(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        """What comes after that."""

    def error(self, status: int, kind: str, code: str | None, message: str) -> bytes:
        """The body of a refusal."""

    def error_headers(self, status: int) -> dict[str, str]:
        """Headers that belong to a refusal."""

    def error_inside(self, message: str) -> bytes:
        """An error in the middle of a stream."""

    def problems(self, ask: Ask) -> list[str]:
        """What the provider's own schema has against the body of the request."""


def last_text(messages: list[Json], *, content: str = "content") -> str:
    """What a user said last: a string, or the `text` of its parts."""
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role", "user") != "user":
            continue
        said = message.get(content)
        if isinstance(said, list):
            said = " ".join(str(part["text"]) for part in said if "text" in part)
        if said:
            return str(said)
    return ""
