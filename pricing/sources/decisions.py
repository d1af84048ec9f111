"""What a person decided where the sources contradict each other: `decisions.toml`, read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pricing.sources.offer import Offer

FILE: Final = Path(__file__).with_name("decisions.toml")


@dataclass(frozen=True, slots=True)
class Decision:
    """One ruling. The first that fits a contradiction settles it."""

    provider: str
    reason: str
    models: tuple[str, ...] = ("*",)
    """Patterns of ids, as in file names."""
    prices: tuple[str, ...] = ("*",)
    """Patterns of what is contradicted: price names, or `tiers`."""
    choose: tuple[str, ...] = ()
    """Sources by name, the best first."""
    newest: bool = False
    """Prices move here: each source tells what it saw on its day, and the last day counts."""
    omit: bool = False
    """Leave the contradicted prices out; the rest of the row stands."""
    flatten: str = ""
    """The source whose tiers by length of the input are not taken over, contradicted or not."""

    @property
    def names_models(self) -> bool:
        """It is about models by name, so it stands above what most of the sources say."""
        return self.models != ("*",)

    def fits(self, provider: str, model: str) -> bool:
        """Whether it is about this model."""
        return fnmatchcase(provider, self.provider) and any(
            fnmatchcase(model, pattern) for pattern in self.models
        )

    def settles(self, contradicted: Iterable[str]) -> bool:
        """Whether it is about all of these prices."""
        return all(any(fnmatchcase(name, each) for each in self.prices) for name in contradicted)

    def best(self, tellers: list[Offer]) -> Offer | None:
        """The offer that it chooses, if one of its sources is among them."""
        for name in self.choose:
            for offer in tellers:
                if offer.source.partition(" ")[0] == name:
                    return offer
        return None


class Decisions:
    """All rulings, in the order of the file."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self.all: Final = tuple(decisions)

    def about(self, provider: str, model: str) -> list[Decision]:
        """The rulings about a model, the first that counts first."""
        return [each for each in self.all if each.fits(provider, model)]


def read_decisions(path: Path = FILE) -> Decisions:
    """The reviewed file. Raises TypeError for a field that no ruling has."""
    tables: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))["decision"]
    return Decisions(_decision(**table) for table in tables)


def _decision(**table: Any) -> Decision:
    lists = {name: tuple(value) for name, value in table.items() if isinstance(value, list)}
    return Decision(**{**table, **lists})
