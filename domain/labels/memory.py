"""Labels that last as long as the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock


class MemoryLabels:
    """A dictionary for each id. What `get` gave is never changed afterwards."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fields: dict[str, dict[str, str]] = {}

    def get(self, public_id: str) -> Mapping[str, str]:
        return self._fields.get(public_id, {})

    def set(self, public_id: str, field: str, value: str | None) -> None:
        with self._lock:
            self._set(public_id, field, value)

    def take(self, public_id: str, field: str) -> str | None:
        with self._lock:
            value = self.get(public_id).get(field)
            self._set(public_id, field, None)
            return value

    def rows(self) -> Sequence[tuple[str, str, str]]:
        with self._lock:
            known = list(self._fields.items())
        return [(at, field, value) for at, fields in known for field, value in fields.items()]

    def catch_up(self) -> None:
        """Nobody else writes."""

    def close(self) -> None:
        """Nothing is held outside the process."""

    def _set(self, public_id: str, field: str, value: str | None) -> None:
        fields = {k: v for k, v in self._fields.get(public_id, {}).items() if k != field}
        if value is not None:
            fields[field] = value
        if fields:
            self._fields[public_id] = fields
        else:
            self._fields.pop(public_id, None)
