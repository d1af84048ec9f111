"""The receipt `x_keytoll` (API.md 3): what a caller is told about one call."""

from __future__ import annotations

from typing import Final

from domain.events.base import JsonObject
from domain.events.requests import RequestFailed, RequestRouted, UsageEvent, generated_nothing
from domain.money import text_of
from domain.usage import UNITS, Usage
from pricing.paid_version import Candidate
from pricing.rate import Rating
from pricing.request import RatedRequest, usage_source

_ALWAYS: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


def receipt(
    routed: RequestRouted,
    used_or_failed: UsageEvent | RequestFailed | None,
    rated: RatedRequest | None,
    *,
    request_id: str,
    key_suffix: str,
) -> JsonObject:
    """What is known of the call. Without `rated` it is pending, or failed and not billed."""
    used = None if isinstance(used_or_failed, RequestFailed) else used_or_failed
    result: JsonObject = {
        "request_id": request_id,
        "provider": routed.provider,
        "credential_id": routed.credential_id,
        "key_suffix": key_suffix,
        "requested_model": routed.requested_model,
        "model": rated.model if rated else (used and used.model) or routed.upstream_model,
        "usage_source": usage_source(used) if used else "none",
        "usage": shown_usage(used.usage) if used else {},
        "status": "pending",
        "markup_rate": routed.markup_rate,
        "at_cost_usd": None,
        "fee_usd": None,
        "reference": None,
        "price_book": rated.price_book if rated else routed.price_book,
        "sandbox": routed.sandbox,
    }
    if routed.attempt_of is not None:
        result["attempt_of"] = routed.attempt_of
    if isinstance(used_or_failed, RequestFailed):
        result.update(_failed(used_or_failed))
    elif rated is not None:
        result.update(amounts(rated.rating))
        result["fee_usd"] = None if rated.fee is None else str(rated.fee)
        result["markup_rate"] = text_of(rated.markup_rate)
    return result


def shown_usage(usage: Usage) -> JsonObject:
    """The four counts that everybody asks for (null: unknown), and every other that is not 0."""
    shown: JsonObject = {unit: usage.get(unit) for unit in _ALWAYS}
    shown.update({unit: usage[unit] for unit in UNITS if unit not in shown and usage.get(unit)})
    return shown


def amounts(rating: Rating) -> JsonObject:
    """Status, at-cost amount and where it was taken from, as receipts and `keytoll rate` say it."""
    result: JsonObject = {
        "status": rating.status,
        "at_cost_usd": None if rating.at_cost is None else str(rating.at_cost),
        "reference": None,
    }
    if rating.reference is not None:
        result["reference"] = {
            "rule": rating.reference.rule,
            "provider": rating.reference.provider,
            "model": rating.reference.model,
            "price_rows": list(rating.reference.price_rows),
        }
    if rating.reported is not None:
        result["reported_usd"] = str(rating.reported)
        result["listed_usd"] = None if rating.listed is None else str(rating.listed)
    if rating.candidates:
        result["candidates"] = [candidate_of(each) for each in rating.candidates]
    if rating.unrated_units:
        result["unrated_units"] = list(rating.unrated_units)
    if rating.notes:
        result["notes"] = list(rating.notes)
    return result


def candidate_of(candidate: Candidate) -> JsonObject:
    """A paid version that was considered; `lost` says why it is not the reference."""
    unpriced = {"unpriced_units": list(candidate.unpriced_units)}
    return {
        "provider": candidate.provider,
        "model": candidate.model,
        "price_row": candidate.row,
        "at_cost_usd": None if candidate.total is None else str(candidate.total),
        "chosen": candidate.lost is None,
        "lost": candidate.lost,
        **(unpriced if candidate.unpriced_units else {}),
    }


def _failed(failed: RequestFailed) -> JsonObject:
    """Nothing is billed. What it cost at the provider is unknown unless it refused the call."""
    refused = generated_nothing(failed)
    return {
        "status": "failed",
        "failure": failed.failure,
        "at_cost_usd": "0" if refused else None,
        "fee_usd": "0",
    }
