"""How far events have come on their way over Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from domain.eventlog.port import stores_of
from keytoll.wiring import Stores
from projections.group import highest_offsets

LOOK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """One look at it."""

    relayed: Mapping[str, int]
    """Store → the last seq that the brokers have acknowledged, with everything before it."""
    consumer_lag: int | None
    """Records of the topic that are not in the tables; None where no group fills them."""


def distribution(stores: Stores) -> Distribution | None:
    """As of now; None without Kafka. Raises FeedUnavailable, FeedMisconfigured, StoreUnavailable,
    ProjectionUnavailable."""
    settings = stores.settings
    if not settings.kafka:
        return None
    from keytoll.wiring import feeds  # noqa: PLC0415 - Kafka's client is for those who use it

    topic = feeds.topic_id(settings)
    positions = stores.truth.relayed
    relayed = {
        store.store_id: positions.get(topic, store.store_id).seq for store in stores_of(stores.log)
    }
    if not settings.grouped:
        return Distribution(relayed, None)
    with closing(feeds.open_scan(settings)) as scan:
        ends = scan.ends()
    there = highest_offsets(stores.projections.open().store)
    lag = sum(max(end - (there[at][1] + 1 if at in there else 0), 0) for at, end in ends.items())
    return Distribution(relayed, lag)


class DistributionWatch:
    """The step of a worker: keeps the newest look for pages, which must not wait for a broker."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.latest: Distribution | None = None
        """None without Kafka, and while it cannot be asked."""

    def __call__(self) -> float:
        try:
            self.latest = distribution(self._stores)
        except BaseException:
            self.latest = None
            raise
        return LOOK_S
