"""The rulings that ship: each says why, and each is about something."""

from __future__ import annotations

from pathlib import Path

import pytest

from pricing.load import shipped_book
from pricing.row import STANDARD
from pricing.sources.decisions import read_decisions
from pricing.sources.hosts import HOSTS
from pricing.sources.refresh import READERS, SNAPSHOTS
from tests.pricing.sources.build import offer, terms

BOOK = shipped_book()
RULINGS = read_decisions()


def test_every_ruling_has_a_reason_and_does_one_thing() -> None:
    for provider in HOSTS:
        for ruling in RULINGS.about(provider, "m"):
            assert len(ruling.reason) > 10
            done = (bool(ruling.choose), ruling.newest, ruling.omit, bool(ruling.flatten))
            assert sum(done) == 1, ruling
            assert {*ruling.choose, *([ruling.flatten] if ruling.flatten else ())} <= set(READERS)


def test_every_ruling_is_about_a_model_of_the_book() -> None:
    ids = {provider: BOOK.models(provider) for provider in HOSTS}
    for ruling in RULINGS.all:
        about = [p for p, models in ids.items() if any(ruling.fits(p, m) for m in models)]
        assert about, ruling


def test_every_snapshot_that_we_name_is_priced() -> None:
    for line in SNAPSHOTS.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            provider, model = line.split()
            assert BOOK.fitting(provider, model, STANDARD), line


def test_a_ruling_of_an_unknown_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "decisions.toml"
    path.write_text('[[decision]]\nprovider = "p"\nreason = "r"\nchose = ["litellm"]\n')
    with pytest.raises(TypeError, match="chose"):
        read_decisions(path)


def test_the_first_source_of_a_ruling_that_speaks_is_chosen() -> None:
    (ruling,) = (each for each in RULINGS.about("aws", "amazon.nova-lite-v1:0") if each.choose)
    assert ruling.choose == ("litellm", "models.dev")
    standard = terms(input="1", output="1")
    dev, other = offer("models.dev 1", standard), offer("genai-prices 1", standard)
    assert ruling.best([other, dev, offer("litellm 1", standard)]) == offer("litellm 1", standard)
    assert ruling.best([other, dev]) is dev
    assert ruling.best([other]) is None
