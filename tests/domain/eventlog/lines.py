"""Stored events without a store: what a sink is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from domain.eventlog.port import Recorded
from domain.events.codec import encode, line_hash
from domain.events.requests import RequestRouted
from domain.ids import new_id
from tests.domain.events.samples import sample


def stored(
    count: int, *, store_id: str = "st_1", after: int = 0, accounts: int = 1
) -> Sequence[Recorded]:
    """Routed requests with dense numbers, dealt to accounts in turn."""
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    recorded = []
    for seq in range(after + 1, after + count + 1):
        account_id = f"acc_{seq % accounts:032x}"
        event = replace(like, originator_id=new_id(), account_id=account_id)
        encoded = encode(event, account_id=account_id)
        recorded_at = "2026-11-01T00:00:00.000000Z"
        line = encoded.line(recorded_at=recorded_at, seq=seq, store_id=store_id)
        recorded.append(
            Recorded(
                store_id,
                seq,
                line_hash(line),
                line,
                event.originator_id,
                1,
                event.TOPIC,
                account_id,
                recorded_at,
            )
        )
    return recorded
