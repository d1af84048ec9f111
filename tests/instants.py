"""Instants that tests share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

AT: Final = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
"""When the calls of tests are made."""
