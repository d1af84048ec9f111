"""The life of one request: routed, then exactly one terminal event, then corrections.

The stream of a request is its UUID. Version 1 is `RequestRouted`, version 2 the terminal event;
the primary key (request, version) makes a second bill impossible.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from domain.errors import BadValue
from domain.events.base import JsonObject, PlainEvent
from domain.usage import check_usage

ROUTED_VERSION: Final = 1
TERMINAL_VERSION: Final = 2

Delivered = Literal["all", "part", "none"]

FAILURES: Final = frozenset(
    {
        "credential_invalid",
        "credential_out_of_money",
        "forbidden_not_auth",
        "rate_limited",
        "overloaded",
        "bad_request",
        "not_found",
        "provider_error",
        "invalid_response",
        "timeout",
        "unreachable",
        "cancelled_before_answer",
        "process_lost",
        "internal_error",
    }
)
"""Why a request ended without anything to bill: PROVIDERS.md 1.6, and our own."""

NOTHING_GENERATED: Final = frozenset(
    {
        "credential_invalid",
        "credential_out_of_money",
        "forbidden_not_auth",
        "rate_limited",
        "overloaded",
        "bad_request",
        "not_found",
        "unreachable",
    }
)
"""Failures after which the provider has produced nothing, unless it was its edge that gave up."""
GAVE_UP: Final = frozenset({408, 504, 524})
"""What an edge answers for a provider that took too long, and may go on generating behind it."""


@dataclass(frozen=True, kw_only=True)
class RequestRouted(PlainEvent):
    """A call was accepted and is about to leave for a provider. Durable before its first byte."""

    TOPIC: ClassVar[str] = "request.routed"

    account_id: str
    api_key_id: str
    credential_id: str
    provider: str
    api: str
    """The dialect spoken upstream, e.g. `openai.chat`."""
    requested_model: str
    upstream_model: str
    stream: bool
    prompt_bytes: int
    price_book: str
    """`sha256:…` of the book in force; rating never uses another unless re-rated."""
    price_at: str
    markup_rate: str
    account_version: int
    reference_setting: str
    tags: dict[str, str]
    attempt_of: str | None
    """The first attempt's request id, when this is a fallback."""
    idempotency: str | None
    """Keyed hash of the caller's Idempotency-Key."""
    owner: str
    """The epoch of the process that serves the call; `sweep` settles calls of dead owners."""
    sandbox: bool

    def __post_init__(self) -> None:
        if self.originator_version != ROUTED_VERSION:
            raise BadValue("a request is routed as version 1 of its stream")


@dataclass(frozen=True, kw_only=True)
class _Used(PlainEvent):
    """What a request used, however we know."""

    usage: dict[str, int]
    provenance: dict[str, str]
    """Unit → reported, derived or estimated."""
    usage_raw: list[str]
    """Each usage object cut out of the provider's bytes as it was."""
    model: str | None
    """The model that the provider says has answered."""
    context: JsonObject = field(default_factory=dict)
    """What selects the price, as served: service_tier, batch, speed, region, …"""
    parts: list[JsonObject] = field(default_factory=list)
    """[{model, usage}] when one call used several models."""
    provider_cost: JsonObject | None = None
    """{amount, meaning: total | upstream | gateway_fee}."""
    finish_reason: str | None = None
    upstream_id: str | None = None
    upstream_status: int | None = None
    delivered: str = "all"
    first_byte_ms: int | None = None
    total_ms: int | None = None
    tries: int = 1
    anomalies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_usage(self.usage)
        for part in self.parts:
            check_usage(part["usage"])


@dataclass(frozen=True, kw_only=True)
class UsageReported(_Used):
    """The provider told us what the request used. Ends the request."""

    TOPIC: ClassVar[str] = "request.usage-reported"


@dataclass(frozen=True, kw_only=True)
class UsageEstimated(_Used):
    """Something was generated and the provider did not tell (all of) it. Ends the request."""

    TOPIC: ClassVar[str] = "request.usage-estimated"

    reason: str
    """not_reported, disconnected, cut_off or shutdown."""
    method: JsonObject
    """{encoding, factor, counted}: how the estimated units were reckoned."""


@dataclass(frozen=True, kw_only=True)
class RequestFailed(PlainEvent):
    """Nothing was generated, or it is unknown whether anything was. Ends the request; no bill."""

    TOPIC: ClassVar[str] = "request.failed"

    failure: str
    upstream_status: int | None = None
    message_hash: str | None = None
    """SHA-256 of the provider's message: comparable, not readable."""
    tries: int = 1
    total_ms: int | None = None

    def __post_init__(self) -> None:
        if self.failure not in FAILURES:
            raise BadValue(f"{self.failure[:40]!r} is not a known failure")


def generated_nothing(failed: RequestFailed) -> bool:
    """Certainly: the call cost nothing at the provider, and its `Idempotency-Key` is free again."""
    return failed.failure in NOTHING_GENERATED and failed.upstream_status not in GAVE_UP


@dataclass(frozen=True, kw_only=True)
class UsageCorrected(_Used):
    """Better counts arrived after the terminal event. The old event stays as it is."""

    TOPIC: ClassVar[str] = "request.usage-corrected"

    replaces: int
    """The version whose usage this one replaces."""
    reason: str
    """late_report, statement or fix."""


PRICE_ADDED: Final = "price_added"
"""Re-rated because the book in force has a price that was missing."""
WRITTEN_OFF: Final = "written_off"
"""Re-rated for the last time, by the book it had: no price came within the limit. The amounts are
what they were; what had no price will never be billed."""


@dataclass(frozen=True, kw_only=True)
class UsageRerated(PlainEvent):
    """Same counts, another price book."""

    TOPIC: ClassVar[str] = "request.usage-rerated"

    price_book: str
    reason: str
    """PRICE_ADDED, WRITTEN_OFF, or words of whoever re-rated by hand."""


UsageEvent = UsageReported | UsageEstimated | UsageCorrected
TerminalEvent = UsageReported | UsageEstimated | RequestFailed
