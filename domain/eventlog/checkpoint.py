"""Checkpoints: the size and root of each seal, kept outside the store.

The file only grows, one JSON object a line. A copy of it on another machine is what an attacker
cannot reach.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from domain.errors import BadValue
from domain.eventlog.port import Recorded
from domain.events.codec import canonical, decode
from domain.events.store import LogSealed

_ROOT: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a seal said: the first `size` lines of the store have this root."""

    store_id: str
    seq: int
    """Of the seal itself."""
    size: int
    root: str
    recorded_at: str


def checkpoint_of(sealed: Recorded) -> Checkpoint:
    """The checkpoint of a LogSealed. Raises BadValue for any other event."""
    event = decode(sealed)
    if not isinstance(event, LogSealed):
        raise BadValue("only a seal makes a checkpoint")
    return Checkpoint(sealed.store_id, sealed.seq, event.size, event.root, sealed.recorded_at)


def checkpoint_line(checkpoint: Checkpoint) -> bytes:
    """Its line in a file of checkpoints."""
    return canonical({name: getattr(checkpoint, name) for name in Checkpoint.__slots__}) + b"\n"


def append_checkpoint(path: Path, sealed: Recorded) -> Checkpoint:
    """Append the checkpoint of a seal to a file, on disk when this returns."""
    checkpoint = checkpoint_of(sealed)
    line = checkpoint_line(checkpoint)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # A line that a full disk or a crash cut short must not swallow the next one.
        if os.fstat(descriptor).st_size and not _ends_with_newline(path):
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):
            raise OSError("the checkpoint was not written whole")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return checkpoint


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """All checkpoints of a file. Raises BadValue, naming the line that is none.

    A last line without an end is what a crash left of it, and is passed over.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    checkpoints = []
    for number, line in enumerate(lines, start=1):
        if line:
            checkpoints.append(_parsed(line, where=f"{path} line {number}"))
    if rest:
        try:
            checkpoints.append(_parsed(rest, where=f"{path} last line"))
        except BadValue:
            return checkpoints
    return checkpoints


def _parsed(line: bytes, *, where: str) -> Checkpoint:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, Mapping) or set(fields) != set(Checkpoint.__slots__):
        raise BadValue(f"{where} is not a checkpoint")
    checkpoint = Checkpoint(**fields)
    if (
        type(checkpoint.seq) is not int
        or type(checkpoint.size) is not int
        or not checkpoint.seq > checkpoint.size >= 0
        or not isinstance(checkpoint.root, str)
        or not _ROOT.fullmatch(checkpoint.root)
    ):
        raise BadValue(f"{where} is not a checkpoint")
    return checkpoint


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
