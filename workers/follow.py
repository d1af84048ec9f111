"""Keeps what this process holds in memory level with what all processes write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FOLLOW_S: Final = 0.5
"""Rest between two looks; `domain/directory.py` says from which age on a view decides nothing."""


class Follow:
    """The step of a worker: everything in its turn, every half second."""

    def __init__(self, *catch_up: Callable[[], object]) -> None:
        """What follows the log, or the labels; the directory first."""
        self._catch_up = catch_up

    def __call__(self) -> float:
        for each in self._catch_up:
            each()
        return FOLLOW_S
