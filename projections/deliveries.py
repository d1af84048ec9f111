"""What came from the feed, checked: events of our log, and dead letters for all else.

Anybody may have written to the topic. A record counts as an event only if its bytes have the hash
that its headers say, and are a line of the store and seq that these name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.clock import Clock
from domain.errors import DomainError
from domain.eventlog.feed import Delivery
from domain.eventlog.port import HasChains, Recorded
from domain.events.codec import read_line
from domain.seal import leaf_hash
from projections.rows import Cells, micros

OF_NOBODY: Final = "-"
"""The account of a dead letter that keeps nobody's period open: it was never an event of ours."""

OnBadRecord = Callable[[Delivery, str], None]


class _Foreign(DomainError):
    """The record is not of our log, and says nothing about our program."""


class _Damaged(DomainError):
    """The record is, or claims to be, of our log, and cannot be read."""


@dataclass(slots=True)
class Sorted:
    """A stretch of deliveries."""

    events: list[Recorded] = field(default_factory=list)
    damaged: list[Cells] = field(default_factory=list)
    """Rows of dead_letters that keep periods open until the log has given the event itself."""
    foreign: list[Cells] = field(default_factory=list)
    """Rows of dead_letters that only tell of a stranger in the topic."""


class Sorter:
    """Sorts deliveries for one log."""

    def __init__(
        self, log: HasChains, *, clock: Clock, on_bad_record: OnBadRecord | None = None
    ) -> None:
        self._ends = _ends(log)
        self._clock = clock
        self._on_bad_record = on_bad_record

    def sort(self, deliveries: Sequence[Delivery]) -> Sorted:
        """Events in the order of delivery."""
        found = Sorted()
        for delivery in deliveries:
            try:
                found.events.append(self._event(delivery))
            except _Foreign as error:
                found.foreign.append(self._letter(delivery, error, account=OF_NOBODY))
            except (DomainError, KeyError, TypeError, ValueError) as error:
                found.damaged.append(self._letter(delivery, error, account=""))
        return found

    def _event(self, delivery: Delivery) -> Recorded:
        store_id, seq, line = delivery.store_id, delivery.seq, delivery.line
        if store_id is None or seq is None:
            raise _Foreign("no event of keytoll: the headers name no store and seq")
        if store_id not in self._ends:
            raise _Damaged(f"of the store {store_id[:40]!r}, which is not of this log")
        end = self._ends[store_id]
        if end is not None and seq > end:
            raise _Foreign(f"{store_id} ended at seq {end}, and was continued by another store")
        if line is None or delivery.hash is None or leaf_hash(line).hex() != delivery.hash:
            raise _Damaged("the bytes do not have the hash that the headers say")
        fields = read_line(line)
        if (fields["store_id"], fields["seq"]) != (store_id, seq):
            raise _Damaged("the line is of another store or seq than the headers say")
        recorded = Recorded(
            store_id,
            seq,
            delivery.hash,
            line,
            UUID(fields["originator_id"]),
            fields["originator_version"],
            fields["topic"],
            fields["account_id"],
            fields["recorded_at"],
        )
        datetime.fromisoformat(recorded.recorded_at)
        return recorded

    def _letter(self, delivery: Delivery, error: Exception, *, account: str) -> Cells:
        reason = str(error) or type(error).__name__
        if self._on_bad_record is not None:
            self._on_bad_record(delivery, reason)
        partition, ours = delivery.partition, not account
        return (
            delivery.store_id if ours else f"{partition.topic}/{partition.number}",
            delivery.seq if ours else delivery.offset,
            leaf_hash(delivery.line or b""),
            account,
            "",
            micros(self._clock.now()),
            f"{partition.topic}/{partition.number} offset {delivery.offset}: {reason}"[:500],
            0,
        )


def _ends(log: HasChains) -> Mapping[str, int | None]:
    """Where each store ends; None for those that are written."""
    return {
        store.store_id: None if store is chain.written else store.head()
        for chain in log.chains()
        for store in chain.stores
    }
