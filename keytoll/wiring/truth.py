"""What is true, wherever it lies, and how the processes that share it agree."""

from __future__ import annotations

from dataclasses import dataclass

from domain.coordination.port import Leases, Locks
from domain.eventlog.port import EventLog
from domain.labels.port import Labels
from domain.relayed.port import RelayPositions
from domain.vault.port import Vault


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Open until `close`. What the tables say is made of it and can be made again."""

    log: EventLog
    vault: Vault
    labels: Labels
    locks: Locks
    leases: Leases
    relayed: RelayPositions

    def close(self) -> None:
        """Release everything. The log goes last, because the others still write to it."""
        self.labels.close()
        self.vault.close()
        self.relayed.close()
        self.leases.close()
        self.locks.close()
        self.log.close()
