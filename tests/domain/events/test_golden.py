"""Every event version ever written still has its bytes, its hash and a reader.

`make golden` writes the files of today's classes only. An older one is how that version was
stored, for ever: nothing can make it again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from domain.events.codec import decode, line_hash
from domain.events.registry import EVENTS
from tests.domain.events.golden import FOLDER, file_name, golden_text
from tests.domain.events.samples import sample

FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("topic", EVENTS)
def test_todays_class_writes_its_golden_line(topic: str) -> None:
    path = FOLDER / file_name(topic)
    if os.environ.get("KEYTOLL_GOLDEN"):
        path.write_text(golden_text(topic), encoding="utf-8")
    assert path.exists(), f"{topic} has no golden file: add a sample, then run `make golden`"
    assert golden_text(topic) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_line_has_its_hash_and_can_be_read(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    line = golden["line"].encode()
    assert line_hash(line) == golden["hash"]
    topic, _, _ = path.name.rpartition(".v")
    assert topic == decode(line).TOPIC


@pytest.mark.parametrize("topic", EVENTS)
def test_todays_golden_line_gives_the_event_back(topic: str) -> None:
    line = json.loads(golden_text(topic))["line"].encode()
    written, read = vars(sample(topic)), vars(decode(line))
    written.pop("timestamp", None)
    read.pop("timestamp", None)
    assert read == written
