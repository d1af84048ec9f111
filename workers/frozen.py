"""The end of the log that a close counts up to: the seal of every chain (BILLING.md 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.clock import parse_instant
from domain.eventlog.port import Chain, EventLog, Recorded
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.events.store import LogSealed, StoreOpened, store_stream
from projections.invoicing import CannotClose


@dataclass(frozen=True, slots=True)
class Frozen:
    """What the seals say, by the store that each of them closes off."""

    cutoff: dict[str, int]
    """The seal's seq, of each store that is written."""
    roots: dict[str, JsonObject]
    """{size, root} of everything before the seal."""
    since: datetime
    """Whatever is recorded from now on, in any store, is recorded later than this."""

    @classmethod
    def by(cls, seals: Sequence[Recorded]) -> Frozen:
        """Raises CannotClose for an event that is not a seal."""
        cutoff, roots = {}, {}
        for recorded in seals:
            event = decode(recorded)
            if not isinstance(event, LogSealed):
                raise CannotClose(f"seq {recorded.seq} is not a seal")
            cutoff[recorded.store_id] = recorded.seq
            roots[recorded.store_id] = {"size": event.size, "root": event.root}
        return cls(cutoff, roots, min(parse_instant(each.recorded_at) for each in seals))

    def of_home(self, log: EventLog, account_id: str) -> tuple[dict[str, int], JsonObject]:
        """(cutoff, merkle) as the account's invoice states them: of all stores that its events can
        be in. Those that its home continues have ended, and count whole."""
        home = log.home(account_id)
        chain = next(each for each in log.chains() if each.written.store_id == home)
        ended = {store.store_id: store.head() for store in chain.stores[:-1]}
        return (
            {**ended, home: self.cutoff[home]},
            {**_ended_roots(chain), home: self.roots[home]},
        )


def _ended_roots(chain: Chain) -> dict[str, JsonObject]:
    """Size and root of the stores that a store continues, as the next store of each has said."""
    roots: dict[str, JsonObject] = {}
    for store in chain.stores[1:]:
        for recorded in store.stream(store_stream(store.store_id)):
            event = decode(recorded)
            if isinstance(event, StoreOpened) and event.continues is not None:
                said = event.continues
                roots[said["store_id"]] = {"size": said["size"], "root": said["root"]}
    return roots
