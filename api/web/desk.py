"""What the operator's pages know that no JSON route does: this process, and its price list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from api.web.drift import DriftCheck
from domain.events.base import JsonObject
from projections.published_books import PublishedBooks
from projections.standing import Standing, StorePlace


class WorkerState(Protocol):
    """What a worker is doing."""

    @property
    def name(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def error(self) -> str | None: ...

    @property
    def steps(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Handed in by whoever puts the program together."""

    standing: Callable[[], Standing]
    """With the health of the last 24 hours. Raises StoreUnavailable."""
    workers: Callable[[], Sequence[WorkerState]]
    places: Callable[[], Sequence[StorePlace]]
    """Of every store. Raises StoreUnavailable."""
    consumer_lag: Callable[[], int | None]
    """Records of the topic that are not in the tables; None without Kafka, or unknown."""
    last_drift: Callable[[], JsonObject | None]
    """The newest comparison of any process: `at` and the number of `differences`."""
    drift: DriftCheck
    published: PublishedBooks
    add_prices: Callable[[Sequence[JsonObject]], Sequence[JsonObject]]
    """The entries that the book in force lacked; they are in force now. Raises BadValue."""
    unrated_days: int
    """What has no price for so long is written off."""
    reference: str
    """The free-model rule in force."""
