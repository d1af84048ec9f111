"""How a call ends in the books: the one terminal event, from what was read of the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from api.chat.ending import store_ending
from api.chat.estimate import Estimator
from api.chat.inflight import InFlight
from api.providers.port import Outcome
from domain.eventlog.port import EventLog, StoreUnavailable
from domain.events.base import JsonObject
from domain.events.requests import (
    TERMINAL_VERSION,
    RequestFailed,
    RequestRouted,
    TerminalEvent,
    UsageCorrected,
    UsageEstimated,
    UsageReported,
)
from domain.ids import public_id
from domain.usage import InconsistentUsage, check_usage
from pricing.book import PriceBook
from pricing.receipt import receipt
from pricing.request import rate_request

Ending = Literal["complete", "cut_off", "disconnected", "shutdown"]
"""Why reading stopped: the answer ended, broke off, its reader left, or this process stops."""

_ESTIMATE_REASON: Final = {
    "complete": "not_reported",
    "cut_off": "cut_off",
    "disconnected": "disconnected",
    "shutdown": "shutdown",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured around the answer."""

    request: UUID
    upstream_status: int | None
    delivered: str
    first_byte_ms: int | None
    total_ms: int
    tries: int = 1


def failed(facts: Facts, failure: str, message: str | None = None) -> RequestFailed:
    """Nothing to bill: the provider refused, or nothing of an answer came back."""
    return RequestFailed(
        originator_id=facts.request,
        originator_version=TERMINAL_VERSION,
        failure=failure,
        upstream_status=facts.upstream_status,
        message_hash=hashlib.sha256(message.encode()).hexdigest() if message else None,
        tries=facts.tries,
        total_ms=facts.total_ms,
    )


def needs_estimate(outcome: Outcome, ending: Ending) -> bool:
    """Something was (or may have been) generated and the final report is missing."""
    if outcome.complete_usage:
        return False
    if outcome.generated or outcome.usage:
        return True
    return ending == "complete" and outcome.failure is None


class Settlement:
    """The books' side of one call: its terminal event, made durable, and its receipt."""

    def __init__(
        self,
        log: EventLog,
        estimator: Estimator,
        in_flight: InFlight,
        routed: RequestRouted,
        context: JsonObject,
    ) -> None:
        """`context` is what was known about the price before the answer."""
        self._context = context
        self._log = log
        self._estimator = estimator
        self._in_flight = in_flight
        self.routed = routed

    async def terminal_event(
        self,
        outcome: Outcome,
        ending: Ending,
        facts: Facts,
        *,
        model: str,
        body: JsonObject,
        received: Callable[[], str],
    ) -> TerminalEvent:
        """The event that ends the request; `received` is asked for only when it must be counted."""
        common = _used(outcome, facts, self._context)
        if outcome.complete_usage:
            return UsageReported(**common)
        if not needs_estimate(outcome, ending):
            return _without_usage(outcome, ending, facts)
        usage, provenance = dict(common["usage"]), dict(common["provenance"])
        counted: list[str] = []
        if "input_tokens" not in usage:
            usage["input_tokens"] = await self._estimator.estimate_prompt_async(body, model)
            counted.append("prompt")
        if "output_tokens" not in usage:
            usage["output_tokens"] = await self._estimator.estimate_async([received()], model)
            counted.append("received_output")
        provenance.update({unit: "estimated" for unit in usage if unit not in provenance})
        return UsageEstimated(
            **{**common, "usage": usage, "provenance": provenance},
            reason=_ESTIMATE_REASON[ending],
            method=self._estimator.method(model, counted),
        )

    async def store(self, event: TerminalEvent | UsageCorrected) -> bool:
        """Make it durable. False: it could not be stored now and is retried until it can."""
        try:
            await store_ending(self._log, event, account_id=self.routed.account_id)
        except StoreUnavailable:
            self._in_flight.keep_storing(event, account_id=self.routed.account_id)
            return False
        return True

    async def late_report(self, outcome: Outcome, event: TerminalEvent, facts: Facts) -> None:
        """Usage that came after an estimate was recorded."""
        if outcome.complete_usage and isinstance(event, UsageEstimated):
            late = {
                **_used(outcome, facts, self._context),
                "originator_version": TERMINAL_VERSION + 1,
            }
            await self.store(
                UsageCorrected(**late, replaces=TERMINAL_VERSION, reason="late_report")
            )

    def receipt(
        self, event: TerminalEvent, book: PriceBook, *, key_suffix: str, stored: bool
    ) -> JsonObject:
        """`x_keytoll` of API.md 3, rated by the very function that the projector uses."""
        rated = None
        if stored and not isinstance(event, RequestFailed):
            rated = rate_request(self.routed, event, book)
        return receipt(
            self.routed,
            event,
            rated,
            request_id=public_id("req", self.routed.originator_id),
            key_suffix=key_suffix,
        )


def _without_usage(outcome: Outcome, ending: Ending, facts: Facts) -> RequestFailed:
    if outcome.failure is not None:
        return failed(facts, outcome.failure.kind, outcome.failure.message)
    if ending in {"disconnected", "shutdown"}:
        return failed(facts, "cancelled_before_answer")
    return failed(facts, "invalid_response")


def _used(outcome: Outcome, facts: Facts, known: JsonObject) -> dict[str, Any]:
    usage, anomalies = outcome.usage, list(outcome.anomalies)
    parts = outcome.parts
    try:
        check_usage(usage)
        for part in parts:
            check_usage(part["usage"])
    except InconsistentUsage:
        # A report that contradicts itself must still end the request: bill its totals only.
        anomalies.append("inconsistent_usage_totals_kept")
        usage, parts = _totals(usage), []
    return {
        "originator_id": facts.request,
        "originator_version": TERMINAL_VERSION,
        "usage": usage,
        "provenance": {unit: outcome.provenance.get(unit, "reported") for unit in usage},
        "usage_raw": outcome.usage_raw,
        "model": outcome.model,
        "context": {**known, **outcome.context},
        "parts": parts,
        "provider_cost": outcome.provider_cost,
        "finish_reason": outcome.finish_reason,
        "upstream_id": outcome.upstream_id,
        "upstream_status": facts.upstream_status,
        "delivered": facts.delivered,
        "first_byte_ms": facts.first_byte_ms,
        "total_ms": facts.total_ms,
        "tries": facts.tries,
        "anomalies": anomalies,
    }


def _totals(usage: dict[str, int]) -> dict[str, int]:
    return {
        unit: usage[unit]
        for unit in ("input_tokens", "output_tokens")
        if type(usage.get(unit)) is int and usage[unit] >= 0
    }
