"""The project's own source, as the architecture tests read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LAYERS: Final = ("domain", "pricing", "projections", "workers", "api", "keytoll")
FOLDERS: Final = (*LAYERS, "tests", "bench")


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the project, with slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def at(self, node: ast.AST) -> str:
        """`file:line`, as an editor opens it."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"

    def imports(self) -> Iterator[tuple[str, ast.AST]]:
        """Every imported module, absolute, with the place."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, node
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module, node

    def references(self) -> Iterator[tuple[str, ast.AST]]:
        """Every dotted name that is used, with aliases of imports resolved."""
        aliases = dict(self._aliases())
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute):
                head, _, rest = _dotted(node).partition(".")
                full = aliases.get(head, head)
                yield f"{full}.{rest}" if rest else full, node

    def _aliases(self) -> Iterator[tuple[str, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield (
                        alias.asname or alias.name.partition(".")[0],
                        (alias.name if alias.asname else alias.name.partition(".")[0]),
                    )
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return "?"


def sources(*folders: str) -> list[Source]:
    """Every Python file below the given folders, in order."""
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(path) for path in sorted(paths) if "__pycache__" not in path.parts]
