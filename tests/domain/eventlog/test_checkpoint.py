"""The file of checkpoints: it only grows, survives a cut line, and refuses nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import BadValue
from domain.eventlog.checkpoint import Checkpoint, append_checkpoint, read_checkpoints
from tests.domain.eventlog.filling import fill, opened

GOOD = b'{"recorded_at":"t","root":"' + b"0" * 64 + b'","seq":2,"size":1,"store_id":"s"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.jsonl"


def test_every_seal_becomes_a_line(path: Path, tmp_path: Path) -> None:
    log = opened(tmp_path / "events.sqlite")
    fill(log)
    seals = log.read(after=0, limit=100, streams={"store"})
    appended = [append_checkpoint(path, seal) for seal in seals]
    assert read_checkpoints(path) == appended
    assert [(each.store_id, each.seq, each.size) for each in appended] == [
        (log.store_id, seq, seq - 1) for seq in (3, 6, 9, 12)
    ]
    with pytest.raises(BadValue):
        append_checkpoint(path, log.read(after=0, limit=1)[0])
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().count(b"\n") == 4


def test_a_line_cut_short_is_passed_over_only_at_the_end(path: Path, tmp_path: Path) -> None:
    path.write_bytes(GOOD + b"\n" + GOOD[:30])
    assert len(read_checkpoints(path)) == 1
    path.write_bytes(GOOD + b"\n" + GOOD)
    assert len(read_checkpoints(path)) == 2
    log = opened(tmp_path / "events.sqlite")
    append_checkpoint(path, log.seal().result()[0])
    log.close()
    assert len(read_checkpoints(path)) == 3
    path.write_bytes(GOOD[:30] + b"\n" + GOOD + b"\n")
    with pytest.raises(BadValue, match="line 1"):
        read_checkpoints(path)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"{}",
        GOOD.replace(b'"seq":2', b'"seq":1'),
        GOOD.replace(b'"seq":2', b'"seq":"2"'),
        GOOD.replace(b'"size":1', b'"size":-1'),
        GOOD.replace(b"0000", b"000g", 1),
        GOOD.replace(b'"seq":2', b'"seq":2,"more":1'),
    ],
)
def test_what_is_no_checkpoint_is_refused(path: Path, line: bytes) -> None:
    path.write_bytes(GOOD + b"\n" + line + b"\n")
    with pytest.raises(BadValue, match="line 2 is not a checkpoint"):
        read_checkpoints(path)


def test_the_form_is_the_one_that_was_promised(path: Path) -> None:
    path.write_bytes(GOOD + b"\n")
    assert read_checkpoints(path) == [Checkpoint("s", 2, 1, "0" * 64, "t")]
