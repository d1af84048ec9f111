"""What a provider says a call cost, out of a usage object whose numbers were read as decimals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from api.providers.usage import section
from domain.events.base import JsonObject
from domain.money import PROVIDER_COST_PLACES, text_of

_PLACES: Final = Decimal(1).scaleb(-PROVIDER_COST_PLACES)
_QUANTISING: Final = Context(prec=50, rounding=ROUND_HALF_EVEN)
_COST_MAX: Final = Decimal(10) ** 9
"""No single call costs more; an absurd figure is none."""


def with_decimals(text: str) -> Any:
    """A usage object as it was written, its numbers exact. Raises ValueError, RecursionError."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)


def openrouter_cost(usage: Mapping[str, Any]) -> JsonObject | None:
    """`cost` is what OpenRouter charged; with the caller's own upstream key only its fee.

    PROVIDERS.md 8: decide on `is_byok`, not on which number is bigger.
    """
    if usage.get("is_byok") is not True:
        return _figure(usage.get("cost"), "total")
    upstream = section(usage, "cost_details").get("upstream_inference_cost")
    return _figure(upstream, "upstream") or _figure(usage.get("cost"), "gateway_fee")


def vercel_cost(usage: Mapping[str, Any]) -> JsonObject | None:
    """`cost` is what Vercel charged; with the caller's own upstream key the market price.

    What `cost` holds for such calls is not documented, so it is not used there.
    """
    if usage.get("is_byok") is not True:
        return _figure(usage.get("cost"), "total")
    return _figure(usage.get("market_cost"), "upstream")


def _figure(amount: Any, meaning: str) -> JsonObject | None:
    """{amount, meaning}, quantised as BILLING.md 3 says; None if it is not an amount."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | Decimal):
        return None
    exact = Decimal(str(amount))
    if not exact.is_finite() or not 0 <= exact <= _COST_MAX:
        return None
    quantised = exact.quantize(_PLACES, context=_QUANTISING)
    return {"amount": text_of(quantised), "meaning": meaning}


def _no_number(_name: str) -> None:
    """NaN and infinities are no amounts."""
