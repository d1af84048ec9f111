"""From the sources' files to the lines that the price book lacks.

    editions = [edition_of("litellm=wheels/litellm-1.109.1-….whl@2026-11-11"), …]
    proposal = propose(editions, at="2026-11-23", lines=shipped_lines())
    proposal.conflicts      # what nobody has decided: left out; write a ruling into decisions.toml
    proposal.settled        # contradictions that a ruling or a majority settled
    proposal.appended       # provider → new lines, numbered on
    append(proposal)        # writes them behind the files; nothing that stands there is touched

Nothing here needs a network or a clock. The same files proposed twice append nothing the second
time. Give all sources each time, for what one says alone counts. `@` names the day on which the
source was up to date: what is not seen for 45 days is no reference for a free model, so the day
must be true.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from domain.clock import instant_text, parse_instant
from domain.errors import BadValue
from pricing.book import PriceBook
from pricing.load import DATA, shipped_book, shipped_names
from pricing.names import Names
from pricing.sources.decisions import Decisions, read_decisions
from pricing.sources.genai_prices import GenaiPrices
from pricing.sources.hand_kept import HandKept
from pricing.sources.hosts import HOSTS
from pricing.sources.litellm import LiteLlm
from pricing.sources.merge import merged
from pricing.sources.models_dev import ModelsDev
from pricing.sources.morpheus import Morpheus
from pricing.sources.offer import Offer, Source
from pricing.sources.pi_ai import PiAi
from pricing.sources.standing import Standing

READERS: Final[Mapping[str, Callable[[Path, str, str], Source]]] = {
    "genai-prices": GenaiPrices,
    "litellm": LiteLlm,
    "models.dev": ModelsDev,
    "pi-ai": PiAi,
    "morpheus": Morpheus,
}
"""Every source by name; the file that each reads is named in its module."""
BOOKS: Final = "books.txt"
"""The file, beside the prices, that names every book that was ever written: how many entries, and
their hash. Invoices cite books, so a line that changed would take them all away; a test says so."""
SNAPSHOTS: Final = Path(__file__).with_name("snapshots.txt")
VARIANT: Final = re.compile(r"-(?:fast|pro|latest|flashx|highspeed|preview)$")
_EDITION: Final = re.compile(r"(?P<name>[a-z.-]+)=(?P<path>.+)@(?P<day>\d{4}-\d\d-\d\d)")
_ECHO: Final = re.compile(r"-v1:0$")
"""How genai-prices ends the id of a Bedrock model that it knows by a pattern: real ids may not."""
_VERSION: Final = re.compile(r"-(\d+(?:\.\d+)+)(?=[-.])")
_OF_ANOTHER_KIND: Final = (
    *(OSError, ImportError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    tarfile.TarError,
)
"""What the readers, which trust their files, come upon in one that is not theirs."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One file of one source, and the day on which it was up to date."""

    name: str
    path: Path
    as_of: str

    @property
    def label(self) -> str:
        """Name and version; the day where the file name bears no version."""
        version = _VERSION.search(self.path.name)
        return f"{self.name} {version[1] if version else self.as_of}"

    def read(self) -> Source:
        """The source itself. Raises BadValue for a file of another kind, or without our models."""
        try:
            source = READERS[self.name](self.path, self.label, self.as_of)
            empty = not any(True for _ in source.offers())
        except _OF_ANOTHER_KIND as error:
            why = f"source {self.name}: {self.path} cannot be read: {error!r}"
            raise BadValue(why, param="source") from error
        if empty:
            why = f"source {self.name}: {self.path} lists no model of our providers"
            raise BadValue(why, param="source")
        return source


def edition_of(text: str) -> Edition:
    """Read `name=path@day`. Raises BadValue."""
    match = _EDITION.fullmatch(text)
    if match is None or match["name"] not in READERS:
        names = ", ".join(sorted(READERS))
        raise BadValue(f"a source is name=path@YYYY-MM-DD, with one of {names}", param="source")
    return Edition(match["name"], Path(match["path"]), match["day"])


@dataclass(slots=True)
class Proposal:
    """What a refresh would append, and what it leaves to a person."""

    conflicts: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    appended: dict[str, list[bytes]] = field(default_factory=dict)


def propose(
    editions: Iterable[Edition],
    *,
    at: str,
    lines: Sequence[bytes],
    decisions: Decisions | None = None,
    names: Names | None = None,
    kept: Source | None = None,
) -> Proposal:
    """What the sources know and the book of these lines does not. Reads the editions' files.

    Rulings, names and rows kept by hand are the reviewed ones, unless others are given. Raises
    BadValue for an edition of a later day than the refresh, or one that cannot be read.
    """
    dated = list(editions)
    for edition in dated:
        if parse_instant(edition.as_of) > parse_instant(at):
            raise BadValue(f"{edition.label} is of a later day than {at}", param="source")
    sources: list[Source] = [*(edition.read() for edition in dated), kept or HandKept()]
    naming = _Naming(names or shipped_names(), sources)
    standing = Standing(lines, instant_text(parse_instant(at)))
    result = Proposal(appended=standing.appended)
    rulings = decisions or read_decisions()
    for provider, models in sorted(_models(sources).items()):
        for model in sorted(models, key=lambda m: (naming.of(provider, m), -len(m), m)):
            offers = [offer for source in sources if (offer := source.find(provider, model))]
            found = merged(offers, rulings)
            result.conflicts += found.conflicts
            result.settled += found.settled
            if found.rows:
                canonical = naming.of(provider, model)
                standing.take(found, canonical, _deprecated(offers))
                for spelling in sorted({also for offer in offers for also in offer.also} - models):
                    standing.name(provider, spelling, canonical)
    standing.see_all("sandbox")
    return result


def append(proposal: Proposal, folder: Path = DATA) -> None:
    """Write the new lines behind the files, and the name of the book that they make behind its
    predecessors'. Nothing that stands in a file is touched.
    """
    for provider, lines in proposal.appended.items():
        with (folder / f"{provider}.jsonl").open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
    if proposal.appended:
        with (folder / BOOKS).open("a") as file:
            file.write(f"{name_of(shipped_book(folder))}\n")


def name_of(book: PriceBook) -> str:
    """A line of `BOOKS`."""
    return f"{book.rows} {book.hash}"


def _models(sources: Sequence[Source]) -> dict[str, set[str]]:
    """Every chat model by provider: what any source lists, and the ids that we name ourselves."""
    others = {pair for source in sources for pair in source.other}
    models: dict[str, set[str]] = {provider: set() for provider in HOSTS}
    for source in sorted(sources, key=lambda source: not source.exact):
        for offer in source.offers():
            listed = models[offer.provider]
            echo = not source.exact and _ECHO.sub("", offer.model) in listed
            if not echo and (offer.provider, offer.model) not in others:
                listed.add(offer.model)
    for line in SNAPSHOTS.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            provider, model = line.split()
            models[provider].add(model)
    return models


def _deprecated(offers: Iterable[Offer]) -> str | None:
    return min((offer.deprecated for offer in offers if offer.deprecated), default=None)


class _Naming:
    """Canonical names: what models.dev calls an id, through the rules; else the rules alone.

    models.dev calls a variant that is sold at another price (-fast, -pro, -latest) by the name of
    the plain model; to us it is one of its own.
    """

    def __init__(self, names: Names, sources: Iterable[Source]) -> None:
        self._names = names
        self._given: dict[tuple[str, str], str] = {}
        for source in sources:
            if isinstance(source, ModelsDev):
                self._given.update(source.canonical)

    def of(self, provider: str, model: str) -> str:
        own = self._names.key(model)
        given = self._given.get((provider, model))
        return own if given is None or VARIANT.search(own) else self._names.key(given)
