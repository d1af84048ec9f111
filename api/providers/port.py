"""What a provider is to the rest of the program: a row of data and a pure dialect.

A dialect translates; it opens no socket, reads no clock and logs nothing. The same bytes, cut at
any places, give the same outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from domain.errors import DomainError
from domain.events.base import JsonObject

ProviderKey = Mapping[str, str]
"""The fields of an opened credential: {"apiKey": …} for a plain key, else those of the JSON."""

Headers = Mapping[str, str]
"""Header names in lower case."""


class UnsupportedParameter(DomainError):
    """The provider cannot honour a field, and dropping it would change the answer."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat completion as the client asked for it, in OpenAI's words."""

    body: JsonObject = field(repr=False)
    """The parsed body without `byok`; `model` is the upstream model. Not to be changed in place."""
    model: str
    stream: bool
    wants_usage: bool
    """The client set stream_options.include_usage."""
    choices: int
    """`n`, at least 1."""
    at: datetime
    """When the call is made; a signature holds for some minutes around it."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What goes over the wire."""

    url: str
    headers: dict[str, str] = field(repr=False)
    """They hold the key, so they never print."""
    body: bytes = field(repr=False)
    method: str = "POST"
    context: JsonObject = field(default_factory=dict)
    """What key and address say about the price, in the names of API.md 7 (region,
    deployment_model); what the answer says overrules it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each phase of a call may take."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    """From sending to the status line; reasoning models think before they speak."""
    idle_s: float = 300.0
    total_s: float = 1800.0


class Chunk(NamedTuple):
    """One piece of a streamed answer, ready for the client. (A tuple: made once per chunk.)"""

    data: bytes
    """A `chat.completion.chunk` object as JSON, without SSE framing."""
    has_choices: bool
    """False: choices are empty, so only a client that asked for usage may see it."""
    finished: bool
    """All choices have finished as of this chunk: the reply may have to hold it back."""


FailureClass = Literal[
    "credential_invalid",
    "credential_out_of_money",
    "forbidden_not_auth",
    "rate_limited",
    "overloaded",
    "bad_request",
    "not_found",
    "provider_error",
    "invalid_response",
]


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """A provider's refusal or break-down, in words that are safe to pass on (PROVIDERS.md 1.6)."""

    kind: FailureClass
    status: int
    """HTTP status of the provider (200 for an error inside a stream)."""
    message: str
    """The provider's own message, redacted."""
    code: str | None = None
    """context_length_exceeded, content_filter, model_not_found, or None."""
    retry_after: str | None = None


@dataclass(slots=True)
class Outcome:
    """What an answer amounted to, as far as it was read."""

    usage: dict[str, int] = field(default_factory=dict)
    """Units of API.md 7 that the provider reported or that follow from its report; else absent."""
    provenance: dict[str, str] = field(default_factory=dict)
    usage_raw: list[str] = field(default_factory=list)
    complete_usage: bool = False
    """The provider's final report was seen: nothing has to be estimated."""
    model: str | None = None
    context: JsonObject = field(default_factory=dict)
    parts: list[JsonObject] = field(default_factory=list)
    provider_cost: JsonObject | None = None
    finish_reason: str | None = None
    upstream_id: str | None = None
    anomalies: list[str] = field(default_factory=list)
    ended: bool = False
    """The protocol's own end was seen ([DONE], message_stop, a whole JSON body)."""
    failure: ProviderFailure | None = None
    """An error object inside a 200 answer or stream."""
    generated: bool = False
    """Some output (text, tool call, reasoning) was received."""
    answer: bytes = b""
    """Not streamed: the OpenAI-shaped JSON object for the client, else empty."""
    tail: Sequence[Chunk] = ()
    """Streamed: chunks that only the end of the answer revealed, not yet given by feed()."""


class Reader(Protocol):
    """Reads one answer with status 200."""

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """Take bytes as they arrive; give the chunks that they complete (none if not streamed)."""

    @property
    def done(self) -> bool:
        """The protocol's own end was seen; what follows is of no interest."""

    def finish(self) -> Outcome:
        """What was read so far. May be called at any time, and again."""

    def received_text(self) -> str:
        """All output received, for estimates: text, refusals, reasoning, tool calls."""


class Dialect(Protocol):
    """A protocol that some providers speak."""

    name: str
    """The api_flavor of API.md 7, e.g. `openai.chat`."""

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The upstream request. Raises UnsupportedParameter."""

    def reader(self, call: ChatCall, headers: Headers) -> Reader:
        """A fresh reader for the answer to `call`."""

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What an answer with an error status means. Never raises, whatever the bytes."""


RawObject = dict[str, Any]
"""A provider's JSON object, before anything is known about it."""
