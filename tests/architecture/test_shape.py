"""Files, functions and folders stay readable (STYLE.md 2 and 9)."""

from __future__ import annotations

import ast
from typing import Final

from tests.architecture.source import FOLDERS, LAYERS, ROOT, sources

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60
NAMELESS: Final = {"utils", "util", "common", "core", "services", "helpers", "misc"}


def test_no_file_is_too_long() -> None:
    long = [
        f"{source.name}:{FILE_LINES_MAX}: {lines} lines, at most {FILE_LINES_MAX}"
        for source in sources(*FOLDERS)
        if (lines := len(source.text.splitlines())) > FILE_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_no_function_is_too_long() -> None:
    long = [
        f"{source.at(node)}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
        for source in sources(*LAYERS)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_nothing_is_named_after_nothing() -> None:
    nameless = [
        f"{source.name}:1: give it the name of what it is"
        for source in sources(*LAYERS)
        if NAMELESS & {*source.path.relative_to(ROOT).parts[:-1], source.path.stem}
    ]
    assert not nameless, "\n".join(nameless)


def test_every_module_says_what_it_is() -> None:
    silent = [
        f"{source.name}:1: no docstring"
        for source in sources(*LAYERS, "bench")
        if source.tree.body and not ast.get_docstring(source.tree)
    ]
    assert not silent, "\n".join(silent)


def test_no_provider_is_an_if() -> None:
    ifs = [
        f"{source.at(node)}: `{ast.unparse(node)}`: make it a field of the provider's row"
        for source in sources("api", "pricing", "projections", "workers")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Compare)
        and ast.unparse(node.left).split(".")[-1] in {"provider", "slug"}
        and any(
            isinstance(other, ast.Constant) and isinstance(other.value, str) and other.value
            for other in node.comparators
        )
    ]
    assert not ifs, "\n".join(ifs)
