"""The golden line of every event class as it is today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from domain.events.codec import encode, line_hash
from domain.events.registry import EVENTS
from tests.domain.events.samples import ACCOUNT_ID, sample

FOLDER: Final = Path(__file__).parents[2] / "golden" / "events"


def file_name(topic: str) -> str:
    """The golden file of the class as it is today."""
    return f"{topic}.v{getattr(EVENTS[topic], 'class_version', 1)}.json"


def golden_text(topic: str) -> str:
    """What that file has to hold."""
    account_id = None if topic.startswith(("store.", "price-book.")) else ACCOUNT_ID
    line = encode(sample(topic), account_id=account_id).line(
        recorded_at="2026-11-01T12:34:56.789012Z", seq=42, store_id="st_golden"
    )
    fields = {"hash": line_hash(line), "line": line.decode()}
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
