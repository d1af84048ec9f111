"""Amounts worked out by hand: formulas of numbers, M for a million, + - * / and brackets."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Final

_M: Final = Fraction(1_000_000)
_SIGNS: Final[dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def evaluate(formula: str) -> Fraction:
    """The exact value of a formula; numbers are read as they are written, never as floats."""

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            return _SIGNS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Constant):
            return Fraction((ast.get_source_segment(formula, node) or "").replace("_", ""))
        assert isinstance(node, ast.Name), formula
        assert node.id == "M", formula
        return _M

    return value(ast.parse(formula, mode="eval").body)


def plain(amount: Fraction) -> str:
    """An amount as API.md writes it: no exponent, no trailing zeros; it must have an end."""
    scaled = amount * 10**24
    assert scaled.denominator == 1, amount
    whole, part = divmod(scaled.numerator, 10**24)
    return f"{whole}.{part:024}".rstrip("0").rstrip(".")
