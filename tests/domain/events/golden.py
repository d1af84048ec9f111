"""The golden line of every event version: `python -m tests.domain.events.golden` writes them.

Only files of today's class versions are written. An older one is how that version was stored, for
ever: nothing can make it again.
"""

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


def main() -> None:
    """Write the files of today's classes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for topic in EVENTS:
        (FOLDER / file_name(topic)).write_text(golden_text(topic), encoding="utf-8")


if __name__ == "__main__":
    main()
