"""The Dockerfile as a list of instructions, and what its last stage sets."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """`COPY api api` is `COPY` and `api api`."""

    word: str
    rest: str


def instructions(file: Path) -> Sequence[Instruction]:
    """In order; continued lines are one, comments are left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in whole.splitlines() if line.strip()]


def last_stage(found: Sequence[Instruction]) -> Sequence[Instruction]:
    """What makes the image, from its FROM on."""
    start = max(at for at, instruction in enumerate(found) if instruction.word == "FROM")
    return found[start:]


def environment(found: Sequence[Instruction]) -> Mapping[str, str]:
    """What ENV sets."""
    pairs = [pair for word, rest in found if word == "ENV" for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def entrypoint(found: Sequence[Instruction]) -> Sequence[str]:
    """The words before the command."""
    (rest,) = (rest for word, rest in found if word == "ENTRYPOINT")
    words: list[str] = json.loads(rest)
    return words
