"""`python -m pricing.sources`: append to the price book what it lacks, from files at hand.

Offline and by hand: the two sources are unpacked wheels (docs/pricing.md says which). Run again
with the same files it appends nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from domain.clock import instant_text, parse_instant
from domain.events.base import JsonObject
from pricing.load import DATA, shipped_lines, shipped_names
from pricing.names import Names
from pricing.sources.decisions import TIERS_OF_THE_PAST
from pricing.sources.genai_prices import GenaiPrices
from pricing.sources.litellm import chat_offers, other_models
from pricing.sources.merge import merged
from pricing.sources.offer import Offer

PROVIDERS: Final = ("openai", "anthropic")
SNAPSHOTS: Final = Path(__file__).with_name("snapshots.txt")
_NOT_CHAT: Final = re.compile(
    r"embedding|tts|whisper|realtime|image|moderation|transcribe|translate|dall|sora|ada|babbage"
    r"|curie|davinci|live|search-doc|code-search|speech"
)


def main(arguments: list[str]) -> int:
    """Append rows, names, sightings and deprecations; print what was left out."""
    parser = argparse.ArgumentParser(prog="python -m pricing.sources", description=__doc__)
    parser.add_argument("--genai-prices", type=Path, required=True, help="folder of the package")
    parser.add_argument("--litellm", type=Path, required=True, help="its price map, JSON")
    parser.add_argument("--at", required=True, help="instant to record, e.g. 2026-11-23")
    options = parser.parse_args(arguments)
    genai = GenaiPrices(options.genai_prices)
    offers = list(chat_offers(options.litellm))
    writer = Writer(shipped_names(), instant_text(parse_instant(options.at)))
    for provider in PROVIDERS:
        listed = {offer.model: offer for offer in offers if offer.provider == provider}
        writer.models(provider, listed, genai, other_models(options.litellm))
    writer.save()
    sys.stdout.write("".join(f"- {line}\n" for line in writer.conflicts))
    return 0


class Writer:
    """Numbers what is new and appends it to the files per provider."""

    def __init__(self, names: Names, at: str) -> None:
        self._names = names
        self._at = at
        entries = [orjson.loads(line) for line in shipped_lines()]
        self._n = len(entries)
        self._known = {_essence(entry) for entry in entries}
        self._new: dict[str, list[bytes]] = {}
        self.conflicts: list[str] = []

    def models(
        self, provider: str, listed: dict[str, Offer], genai: GenaiPrices, others: set[str]
    ) -> None:
        """All models of a provider: dated spellings before the plain one, which so comes last."""
        spellings = {
            model: also
            for model, also in genai.models(provider)
            if model not in others and not _NOT_CHAT.search(model)
        }
        models = {*listed, *spellings, *_snapshots(provider)}
        for model in sorted(models, key=self._order):
            offers = [genai.find(provider, model), listed.get(model)]
            outdated = TIERS_OF_THE_PAST.get((provider, self._names.key(model)), "-")
            told = [each for each in offers if each]
            for offer in told:
                if offer.source.startswith(outdated):
                    offer.flatten()
            result = merged(told)
            self.conflicts += result.conflicts
            for row in result.rows:
                self._row(provider, row, listed.get(model))
            if result.rows:
                names = {model, *spellings.get(model, ())} - (models - {model})
                for name in sorted(names):
                    self._name(provider, name, model)

    def _order(self, model: str) -> tuple[str, int, str]:
        return self._names.key(model), -len(model), model

    def _row(self, provider: str, row: JsonObject, listed: Offer | None) -> None:
        entry: JsonObject = {"row": {**row, "canonical": self._names.key(row["model"])}}
        if _essence(entry) in self._known:
            return
        row_id = f"{provider}/{row['model']}~{self._n + 1}"
        entry["row"] |= {"id": row_id, "recorded_at": self._at}
        self._append(provider, entry)
        self._append(provider, {"seen": {"row": row_id, "at": self._at}})
        end = listed.deprecated if listed else None
        if end and f"{end}T" <= self._at:
            instant = f"{end}T00:00:00.000000Z"
            self._append(provider, {"deprecated": {"row": row_id, "at": instant}})

    def _name(self, provider: str, name: str, model: str) -> None:
        canonical = self._names.key(model)
        entry = {"name": {"provider": provider, "model": name, "canonical": canonical}}
        if _essence(entry) not in self._known:
            self._append(provider, entry)

    def _append(self, provider: str, entry: JsonObject) -> None:
        self._n += 1
        self._known.add(_essence(entry))
        line = orjson.dumps({**entry, "n": self._n}, option=orjson.OPT_SORT_KEYS)
        self._new.setdefault(provider, []).append(line)

    def save(self) -> None:
        """Append the new lines; nothing that stands in a file is touched."""
        for provider, lines in self._new.items():
            with (DATA / f"{provider}.jsonl").open("ab") as file:
                file.writelines(line + b"\n" for line in lines)


def _snapshots(provider: str) -> list[str]:
    """Ids that we name ourselves, one `provider id` a line."""
    lines = SNAPSHOTS.read_text("utf-8").splitlines()
    pairs = [line.split() for line in lines if line and not line.startswith("#")]
    return [model for owner, model in pairs if owner == provider]


def _essence(entry: JsonObject) -> bytes:
    """What makes two entries the same: everything but number, id and instant of recording."""
    kept = {kind: data for kind, data in entry.items() if kind != "n"}
    if "row" in kept:
        kept["row"] = dict(_without(kept["row"]))
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def _without(row: JsonObject) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in row.items() if name not in {"id", "recorded_at"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
