"""Tool calls whose arguments arrive in pieces, as Google Cloud streams them when it is asked to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from api.providers.lenient import objects
from api.providers.port import RawObject

LEVELS_MAX: Final = 32
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\['([^']*)'\]")
_VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")


class PartialCall:
    """A call that is still being written."""

    def __init__(self, called: Mapping[str, Any], signature: str | None) -> None:
        self.name = called.get("name")
        self.id = called.get("id")
        self.signature = signature
        given = called.get("args")
        self.args: RawObject = dict(given) if isinstance(given, Mapping) else {}

    def add(self, called: Mapping[str, Any]) -> None:
        """Put each piece where its path says; texts of one path are joined."""
        for piece in objects(called.get("partialArgs")):
            path = piece.get("jsonPath")
            steps = _steps(path) if isinstance(path, str) else []
            named = [name for name in _VALUES if name in piece]
            if steps and named:
                value = None if named[0] == "nullValue" else piece[named[0]]
                _put(self.args, steps, value)


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for found in _STEP.finditer(path):
        name, index, quoted = found.groups()
        steps.append(int(index) if index is not None else name if name is not None else quoted)
    return steps if len(steps) <= LEVELS_MAX else []


def _put(into: Any, steps: list[str | int], value: Any) -> None:
    for step, after in pairwise(steps):
        made: Any = [] if isinstance(after, int) else {}
        into = _member(into, step, made)
    last = steps[-1]
    if isinstance(into, dict) and isinstance(last, str):
        into[last] = _joined(into.get(last), value)
    elif isinstance(into, list) and isinstance(last, int):
        if last == len(into):
            into.append(value)
        elif last < len(into):
            into[last] = _joined(into[last], value)


def _member(into: Any, step: str | int, made: Any) -> Any:
    """What stands at this step; `made` is put there if nothing does."""
    if isinstance(into, dict) and isinstance(step, str):
        return into.setdefault(step, made)
    if isinstance(into, list) and isinstance(step, int):
        if step == len(into):
            into.append(made)
        return into[step] if step < len(into) else made
    return made


def _joined(known: Any, value: Any) -> Any:
    return known + value if isinstance(known, str) and isinstance(value, str) else value
