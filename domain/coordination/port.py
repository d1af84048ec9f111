"""What several processes agree on: which of them does a thing, and which of them live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from domain.errors import DomainError

CLOSING: Final = "closing"
"""Closing periods, and settling what a close that died left over."""
PRICE_LIST: Final = "price-list"
"""Adding the operator's entries to the price list."""
PROJECTING: Final = "projecting"
"""Writing the tables, where no consumer group shares the work out."""
FIRST_START: Final = "first-start"
"""Opening the first account."""
REBUILDING: Final = "rebuilding"
"""Filling new tables beside those in force."""
RERATING: Final = "rerating"
"""Rating what had no price."""
SETTLING: Final = "settling"
"""Deciding what becomes of issued invoices."""
SEALING: Final = "sealing"
"""Signing off the log at intervals."""
TABLES: Final = "tables"
"""Making the tables of the shared database."""


def relaying(store_id: str) -> str:
    """The name of the lock under which one process relays a store."""
    return f"relay:{store_id}"


class Busy(DomainError):
    """Another process does this at present. Nothing was done here."""


class Held(Protocol):
    """A lock that is held. Given up by `release`, or when its process dies or loses the store."""

    def still(self) -> bool:
        """Whether it is held for certain at this moment; asks the store, in about 0.1 ms.

        False for ever once the lock was lost. Whoever is told False stops at once: another
        process may be doing the same already.
        """

    def release(self) -> None:
        """Give it up. Idempotent; never raises."""


class Locks(Protocol):
    """Names that one holder at a time may hold, among all processes. Any thread may call.

    A lock keeps two processes from doing the same work twice. It is not what keeps the books
    right: a holder that was stopped for a while may believe for a moment that it still holds, so
    whatever is done under a lock is also safe when it is done twice.
    """

    def take(self, name: str, *, wait_s: float = 0.0) -> Held | None:
        """The lock, or None if another holder has it (still, after `wait_s` seconds).

        Not reentrant: a name that this process holds is not given to it again. Raises
        StoreUnavailable when the store cannot be asked.
        """

    def close(self) -> None:
        """Give up everything that is held."""


class Leases(Protocol):
    """Which processes live, by the clock of the store. Any thread may call anything.

    A process is known by its epoch, the name under which it writes (`StoreOpened`). Each call
    raises StoreUnavailable when the store cannot be asked.
    """

    def renew(self, epoch: str, *, for_s: float) -> bool:
        """This process lives, for `for_s` more seconds. False if its lease had lapsed before.

        The first renewal comes before the first request is routed. The first one gives True.
        """

    def release(self, epoch: str) -> None:
        """This process ends now. Idempotent."""

    def alive(self) -> frozenset[str]:
        """The epochs whose lease has not lapsed.

        To find the requests of dead processes, read the open requests first and this afterwards:
        the other way round, a process that began in between looks dead.
        """

    def close(self) -> None:
        """Release the connection; leases last until they lapse."""


@contextmanager
def held(locks: Locks, name: str, *, wait_s: float = 0.0) -> Iterator[Held]:
    """Hold a lock for a block of statements. Raises Busy when another holder has it."""
    lock = locks.take(name, wait_s=wait_s)
    if lock is None:
        raise Busy(f"another process holds the lock {name!r}")
    try:
        yield lock
    finally:
        lock.release()
