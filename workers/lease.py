"""Renews the lease by which other processes know that this one lives."""

from __future__ import annotations

from collections.abc import Callable

from domain.coordination.port import Leases


class Lease:
    """The step of a worker. Call it once before the first request is routed."""

    def __init__(
        self, leases: Leases, epoch: str, *, lease_s: float, on_lapsed: Callable[[], object]
    ) -> None:
        """`on_lapsed` is told when a renewal came too late: calls may have been taken for lost."""
        self._leases = leases
        self._epoch = epoch
        self._lease_s = lease_s
        self._on_lapsed = on_lapsed

    def __call__(self) -> float:
        if not self._leases.renew(self._epoch, for_s=self._lease_s):
            self._on_lapsed()
        return self._lease_s / 3

    def release(self) -> None:
        """This process has settled all its calls and ends."""
        self._leases.release(self._epoch)
