"""How close the estimates come: `python -m bench.estimate [pairs.jsonl.gz]`.

Reads recorded pairs of texts and what the provider reported for them, estimates each prompt and
each output, and prints by family: pairs, share of estimates above the report, and how far the
others fall short on average, before (tiktoken alone) and after the family's factor. Reports that
hold hidden reasoning, images or a provider's own additions make the shortfall look larger than
the estimator's error: those tokens are not counted on purpose.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.chat.estimate import Estimator, family_of
from api.chat.prompt_text import prompt_texts
from domain.events.base import JsonObject

PAIRS = Path(__file__).resolve().parents[2] / "shared/corpus/usage_pairs.jsonl.gz"
_REASONING = frozenset(
    {"reasoning", "reasoning_content", "reasoning_details", "reasoningContent", "thinking"}
)


@dataclass(frozen=True)
class Compared:
    """One text of one pair."""

    id: str
    family: str
    side: str
    counted: int
    estimated: int
    reported: int
    plain: bool
    """Text in, text out: no tools, no reasoning, nothing cached or cut short."""


@dataclass
class Row:
    """All comparisons of one family and side."""

    compared: list[Compared] = field(default_factory=list)

    def above(self, *, raw: bool = False) -> int:
        """How many estimates exceed the report."""
        return sum((c.counted if raw else c.estimated) > c.reported for c in self.compared)

    def shortfall_per_mille(self, *, raw: bool = False) -> int:
        """Mean of what is missing, in thousandths of the report."""
        missing = [
            1000 * max(0, c.reported - (c.counted if raw else c.estimated)) // c.reported
            for c in self.compared
        ]
        return sum(missing) // max(1, len(missing))


def compare(path: Path, estimator: Estimator) -> Iterator[Compared]:
    """Every prompt and every output of the pairs that has a report."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            model = pair["model"] or ""
            family = family_of(model)
            sides = (
                ("prompt", _prompt(pair, family.tools), pair["prompt_tokens"]),
                ("output", _output(pair), pair["completion_tokens"]),
            )
            for side, texts, reported in sides:
                if reported:
                    counted = sum(estimator.count(text, model) for text in texts)
                    estimated = estimator.estimate(texts, model)
                    yield Compared(
                        pair["id"],
                        family.name,
                        side,
                        counted,
                        estimated,
                        reported,
                        plain=pair["tags"] == ["plain"] and not pair["reasoning_tokens"],
                    )


def _prompt(pair: JsonObject, form: Any) -> list[str]:
    text = pair["input_text"] or ""
    for thought in sorted(_thoughts(pair["messages"], inside=False), key=len, reverse=True):
        text = text.replace(thought, "")
    tools = [{"function": function} for function in _functions(pair["tools"])]
    return [text, *prompt_texts({"tools": tools}, form)]


def _output(pair: JsonObject) -> list[str]:
    arguments = [call.get("arguments") or "" for call in pair["tool_calls"]]
    return [
        pair["output_text"] or "",
        *(a if isinstance(a, str) else json.dumps(a, separators=(",", ":")) for a in arguments),
    ]


def _thoughts(node: object, *, inside: bool) -> Iterator[str]:
    """Texts of earlier reasoning, wherever a protocol keeps it."""
    if isinstance(node, list):
        for item in node:
            yield from _thoughts(item, inside=inside)
    if not isinstance(node, dict):
        return
    here = inside or node.get("type") in _REASONING or node.get("thought") is True
    for name, value in node.items():
        if not isinstance(value, str):
            yield from _thoughts(value, inside=here or name in _REASONING)
        elif value and (here or name in _REASONING) and name in {"text", *_REASONING}:
            yield value
        else:
            yield from re.findall(r"<think>.*?(?:</think>|\Z)", value, re.DOTALL)


def _functions(tools: object) -> Iterator[JsonObject]:
    """Tool definitions of any protocol, in OpenAI's form."""
    if isinstance(tools, dict):
        tools = tools.get("tools", [])
    for tool in tools if isinstance(tools, list) else []:
        for function in (
            tool.get("functionDeclarations") or tool.get("function_declarations") or [tool]
        ):
            inner = function.get("function") or function.get("toolSpec") or function
            schema = inner.get("parameters") or inner.get("input_schema")
            schema = schema or inner.get("parametersJsonSchema")
            schema = schema or (inner.get("inputSchema") or {}).get("json")
            if "name" in inner:
                yield {**inner, "parameters": schema}


def table(rows: dict[tuple[str, str], Row]) -> str:
    """The figures, as text."""
    head = f"{'side':8}{'family':12}{'pairs':>6}  {'above':>13}{'missing':>9}"
    lines = [f"{head}   {'above before':>13}{'missing before':>15}"]
    for (side, family), row in sorted(rows.items(), key=lambda item: (item[0][0], -_size(item))):
        pairs = len(row.compared)
        lines.append(
            f"{side:8}{family:12}{pairs:6}  {row.above():5} {_percent(row.above(), pairs):>7}"
            f"{row.shortfall_per_mille() / 10:8.1f}%   "
            f"{row.above(raw=True):5} {_percent(row.above(raw=True), pairs):>7}"
            f"{row.shortfall_per_mille(raw=True) / 10:14.1f}%"
        )
    return "\n".join(lines)


def _size(item: tuple[tuple[str, str], Row]) -> int:
    return len(item[1].compared)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%"


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    if not path.is_file():
        print(f"bench.estimate: skipped, there are no recorded pairs at {path}", file=sys.stderr)
        return 2 if len(sys.argv) > 1 else 0
    rows: dict[tuple[str, str], Row] = {}
    above: list[Compared] = []
    for compared in compare(path, Estimator.load()):
        for family in (compared.family, "all", *(["all plain"] if compared.plain else [])):
            rows.setdefault((compared.side, family), Row()).compared.append(compared)
        if compared.estimated > compared.reported:
            above.append(compared)
    print(table(rows))
    print("\nabove the report:")
    for c in above:
        print(
            f"  {c.side:7} {c.family:11} {c.estimated:6} estimated, {c.reported:6} reported, {c.id}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
