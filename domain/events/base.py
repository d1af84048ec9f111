"""What every event has in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Protocol
from uuid import UUID


class Event(Protocol):
    """Anything the log can hold: a plain event of ours or an aggregate's event.

    `TOPIC` never changes, even if the class moves. A field is added with a default, or with a
    higher `class_version` and a static method `upcast_v<n>_v<n+1>(state)` beside it.
    """

    TOPIC: ClassVar[str]
    class_version: ClassVar[int]

    @property
    def originator_id(self) -> UUID: ...

    @property
    def originator_version(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class PlainEvent:
    """An event that no aggregate owns: of a request, or of a store.

    Fields hold JSON values only (text, whole numbers, booleans, lists, objects); amounts and
    instants are text. Whatever else a subclass declares is the `data` of the line.
    """

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1

    originator_id: UUID
    originator_version: int

    def __post_init__(self) -> None:
        """Raise BadValue when the fields contradict each other."""


UNRECORDED: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of an aggregate's event that is not stored yet. The log gives it (`recorded_at`)."""


class Unstamped:
    """For the events of aggregates: no clock is read when one is made."""

    class_version: ClassVar[int] = 1

    @staticmethod
    def create_timestamp() -> datetime:
        return UNRECORDED


JsonObject = dict[str, Any]
