"""No float comes near an amount (STYLE.md 6)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.architecture.source import ROOT, Source, sources

MONEY_PATH: Final = ("domain", "pricing", "projections")
DURATIONS: Final = {
    "domain/clock.py": "seconds of a monotonic clock",
    "domain/coordination/memory.py": "how long leases last",
    "domain/coordination/port.py": "how long leases last, and to wait for a lock",
    "domain/coordination/postgres.py": "how long leases last, and to wait for a lock",
    "domain/directory.py": "the age of a view",
    "domain/eventlog/feed.py": "how long to wait for records",
    "domain/eventlog/kafka.py": "how long to wait for brokers",
    "domain/eventlog/kafka_connection.py": "how long to wait for brokers",
    "domain/eventlog/memory_feed.py": "how long to wait for records",
    "domain/postgres.py": "how long to wait for the database",
    "domain/sqlite.py": "how long to wait for a lock",
    "domain/vault/postgres.py": "how long to wait for the table",
    "domain/vault/reconcile.py": "how long a secret was unused",
    "projections/projected.py": "how long to wait for the tables",
    "projections/queries/health.py": "a share of requests, for operators",
    "projections/store/clickhouse.py": "how long closing may take",
}
"""Files that may name float, for time only, never for an amount."""
PERCENTILES: Final = "projections/queries/latency.py"
"""Of milliseconds; each is a time that was measured."""
IMPORTERS: Final = "pricing/sources/"
"""Run by hand on others' published figures; what they write is checked again on entry."""
NO_DIVISION: Final = ("domain/money.py", "pricing")
"""Where `/` can only mean a quotient; a price is multiplied, never divided."""
INEXACT_SQL: Final = re.compile(r"\b(avg|toFloat(32|64)|Float(32|64)|quantile\w*|CAST)\b\s*[(,)]?")


def floats(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"{source.at(node)}: the float {node.value!r}"
        elif isinstance(node, ast.Name) and node.id in {"float", "complex"}:
            yield f"{source.at(node)}: {node.id}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "math.fsum",
            "statistics.mean",
        }:
            yield f"{source.at(node)}: {ast.unparse(node.func)} works in floats"


def test_there_is_no_float_on_the_money_path() -> None:
    found = [
        f"{place}; amounts are Decimal (domain/money.py), counts are int"
        for source in sources(*MONEY_PATH)
        if source.name not in DURATIONS
        for place in floats(source)
    ]
    assert not found, "\n".join(found)


def test_the_exceptions_are_still_needed() -> None:
    stale = [
        name
        for name in DURATIONS
        if (ROOT / name).is_file() and not list(floats(Source(ROOT / name)))
    ]
    assert not stale, f"tests/architecture/test_money.py: drop from DURATIONS: {', '.join(stale)}"


def test_nothing_on_the_money_path_divides() -> None:
    found = [
        f"{source.at(node)}: `/` makes a float of two ints and rounds two decimals; multiply"
        for source in sources("domain", "pricing")
        if source.name.startswith(NO_DIVISION) and not source.name.startswith(IMPORTERS)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.BinOp | ast.AugAssign)
        and isinstance(node.op, ast.Div)
        and not mentions_path(node)
    ]
    assert not found, "\n".join(found)


def mentions_path(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether the operands look like a path: `folder / "prices"`."""
    operands = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
    return any(
        isinstance(operand, ast.JoinedStr)
        or (isinstance(operand, ast.Constant) and isinstance(operand.value, str))
        or re.search(r"(?i)path|folder|root|parent", ast.unparse(operand))
        for operand in operands
    )


def test_no_query_computes_in_floats() -> None:
    texts = [
        (source.name, source.text)
        for source in sources("projections")
        if source.name != PERCENTILES
    ]
    texts += [
        (path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "projections").rglob("*.sql"))
    ]
    found = [
        f"{name}:{number}: {match[0].strip()!r} is a float or truncates; use sum() of Decimal"
        for name, text in texts
        for number, line in enumerate(text.splitlines(), start=1)
        if not line.lstrip().startswith(("--", "#", '"""'))
        for match in INEXACT_SQL.finditer(line)
    ]
    assert not found, "\n".join(found)


def test_one_function_rounds() -> None:
    found = [
        f"{source.at(node)}: {name}: only domain/money.py may round"
        for source in sources(*MONEY_PATH)
        if source.name != "domain/money.py" and not source.name.startswith(IMPORTERS)
        for name, node in source.references()
        if name == "round" or name.endswith((".quantize", ".to_integral_value"))
        # The exact context raises where a digit would be lost, so it cannot round.
        if not name.startswith("domain.money.EXACT.")
    ]
    assert not found, "\n".join(found)
