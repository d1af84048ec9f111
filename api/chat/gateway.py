"""What every call of this process shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from api.chat.estimate import Estimator
from api.chat.inflight import InFlight
from api.chat.keys import OpenKeys
from api.chat.patience import Jitter
from api.last_used import LastUsed
from api.metrics import Metrics
from api.providers.http import Upstream
from domain.clock import Clock
from domain.credential import Outcome
from domain.directory import CredentialView
from domain.eventlog.port import EventLog
from pricing.book import PriceBook

RememberKey = Callable[[CredentialView, Outcome, str], Awaitable[None]]
"""(credential, outcome, reason): record what a call has shown about a stored key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Stores, ways out and clocks, as plain values."""

    log: EventLog
    keys: OpenKeys
    book: Callable[[], PriceBook]
    estimator: Estimator
    upstream: Upstream
    base_urls: Mapping[str, str]
    in_flight: InFlight
    metrics: Metrics
    last_used: LastUsed
    remember_key: RememberKey
    clock: Clock
    jitter: Jitter
    epoch: str
    reference: str
    drain_s: float
