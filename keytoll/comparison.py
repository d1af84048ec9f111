"""The log against everything that was made of it: the topic, the tables, the numbers served."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from domain.clock import instant_text
from domain.eventlog.past import PastLog
from domain.eventlog.topic_drift import topic_drift
from domain.events.base import JsonObject
from keytoll.wiring import Stores
from projections.drift import drift
from projections.replay import differences, live_state, replayed_state

LAST: Final = ("comparison", "last")
"""Where the result of the newest one is kept, for every process to see."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what differs, one sentence each."""

    as_of: dict[str, int]
    found: Sequence[str]
    records: int | None
    """Read from the topic; None without Kafka."""


def compare(stores: Stores) -> Comparison:
    """Everything up to the present end of the log. Raises ProjectionUnavailable, StoreUnavailable,
    FeedUnavailable."""
    projected = stores.projections.open()
    as_of = projected.catch_up()
    found = drift(log=stores.log, store=projected.store, books=stores.books, until=as_of)
    found += _of_served(stores)
    records = None
    if stores.settings.kafka:
        from keytoll.wiring import feeds  # noqa: PLC0415 - Kafka's client is for those who use it

        with closing(feeds.open_scan(stores.settings)) as scan:
            topic = topic_drift(stores.log, scan)
        found, records = [*found, *topic.differences], topic.records
    last = {"at": instant_text(stores.clock.now()), "as_of": as_of, "differences": len(found)}
    stores.labels.set(*LAST, json.dumps(last))
    return Comparison(as_of, found, records)


def last_comparison(stores: Stores) -> JsonObject | None:
    """When the newest one was made, up to where, and how many differences it found."""
    public_id, field = LAST
    text = stores.labels.get(public_id).get(field)
    return None if text is None else json.loads(text)


def _of_served(stores: Stores) -> Sequence[str]:
    """What callers, reports and invoices are told, against the log replayed."""
    reached, live = live_state(
        stores.log, stores.projections.open(), stores.directory, stores.register
    )
    replayed = replayed_state(PastLog(stores.log, until=reached), stores.books)
    return [
        f"{place}: the log says {ours!r}, what is served {theirs!r}"
        for place, ours, theirs in differences(replayed, live)
    ]
