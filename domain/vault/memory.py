"""A vault that lasts as long as the process; for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from domain.vault.envelope import Sealed
from domain.vault.port import MasterKey
from domain.vault.sealed import SealedVault


class MemoryShelf:
    """A dictionary."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, int], Sealed] = {}

    def put(self, sealed: Sealed) -> bool:
        with self._lock:
            return self._kept.setdefault(_place(sealed), sealed) is sealed

    def replace_all(self, sealed: Sequence[Sealed]) -> None:
        with self._lock:
            self._kept.update({_place(s): s for s in sealed if _place(s) in self._kept})

    def get(self, credential_id: str, version: int) -> Sealed | None:
        return self._kept.get((credential_id, version))

    def all(self) -> Sequence[Sealed]:
        with self._lock:
            return [self._kept[place] for place in sorted(self._kept)]

    def destroy(self, credential_id: str, version: int | None) -> None:
        with self._lock:
            for place in list(self._kept):
                if place[0] == credential_id and version in {None, place[1]}:
                    del self._kept[place]

    def close(self) -> None:
        """Nothing is held outside the process."""


def memory_vault(master: MasterKey, *, older: Sequence[MasterKey] = ()) -> SealedVault:
    """An empty vault."""
    return SealedVault(MemoryShelf(), master, older=older)


def _place(sealed: Sealed) -> tuple[str, int]:
    return sealed.credential_id, sealed.version
