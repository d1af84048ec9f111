"""The fee: the agreed rate of what the call costs at the provider."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from domain.errors import BadValue
from domain.money import RATE_PLACES, Money, decimal_of


@lru_cache(maxsize=1024)
def markup_rate(text: str) -> Decimal:
    """Read an agreed rate such as "0.05". Raises BadValue unless it is 0 to 1 in six places."""
    rate = decimal_of(text, places=RATE_PLACES, what="markup_rate")
    if not 0 <= rate <= 1:
        raise BadValue("markup_rate must be 0 to 1: 0.05 is five per cent", param="markup_rate")
    return rate


def fee(at_cost: Money, rate: Decimal) -> Money:
    """Exact; never rounded before an invoice is issued."""
    return at_cost.times(rate)
