"""How well the rules for canonical names do, against the names that models.dev gives."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pricing.sources.hosts import HOSTS
from pricing.sources.refresh import VARIANT

Key = Callable[[str], str]
Row = tuple[str, str]
"""An id, and the name that models.dev gives to its model."""

_DATE: Final = re.compile(r"-(?:20\d{6}|20\d{2}-\d{2}-\d{2})$")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over all pairs of ids: which the rules and models.dev call one model."""

    ids: int
    both: int
    rules_only: int
    gold_only: int

    def __str__(self) -> str:
        precision = self.both / max(1, self.both + self.rules_only)
        recall = self.both / max(1, self.both + self.gold_only)
        return f"{self.ids} | {self.both} | {precision:.3f} | {recall:.3f}"


def agreement(rows: Iterable[Row], key: Key) -> Agreement:
    """Count pairs of ids that the rules, models.dev, or both call one model."""
    cells = Counter((key(model), gold) for model, gold in rows)
    keys: Counter[str] = Counter()
    golds: Counter[str] = Counter()
    for (name, gold), count in cells.items():
        keys[name] += count
        golds[gold] += count
    both = _pairs(cells.values())
    return Agreement(
        cells.total(), both, _pairs(keys.values()) - both, _pairs(golds.values()) - both
    )


def names_table(path: Path, key: Key) -> Iterator[str]:
    """Markdown: our providers, by which the aliases were found, and hosts that they were not."""
    ours = {host.models_dev for host in HOSTS.values()}
    rows = list(_rows(path))
    yield "| hosts | ids | pairs | precision | recall |"
    yield "|---|---|---|---|---|"
    for whose, mine in (("our providers", True), ("others", False)):
        every = [(model, gold) for host, model, gold in rows if (host in ours) == mine]
        plain = [(model, gold) for model, gold in every if not VARIANT.search(key(model))]
        yield f"| {whose} | {agreement(every, key)} |"
        yield f"| {whose}, without variants of price | {agreement(plain, key)} |"


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Ids of text models. models.dev names a dated snapshot with and without its date: as one."""
    for name, host in json.loads(path.read_text("utf-8")).items():
        for record in host["models"].values():
            if "canonical_model_id" in record and "text" in record["modalities"]["output"]:
                yield name, record["id"], _DATE.sub("", record["canonical_model_id"])


def _pairs(counts: Iterable[int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts)
