"""The words of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.errors import BadValue
from keytoll.__main__ import main
from keytoll.commands.table import parser
from pricing.load import DATA


@pytest.mark.parametrize(
    "words",
    ["account list --json", "account --json list", "status --json", "invoice --json show inv_1"],
)
def test_json_is_understood_wherever_it_stands(words: str) -> None:
    assert parser().parse_args(words.split()).json is True


@pytest.mark.parametrize("words", ["account list", "status", "verify --period 2026-11"])
def test_people_are_answered_otherwise(words: str) -> None:
    assert parser().parse_args(words.split()).json is False


@pytest.mark.parametrize("words", ["status", "account open", "report usage", "backup b.tar"])
def test_where_nothing_is_installed_nothing_is_made(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEYTOLL_DATA", str(tmp_path / "data"))
    assert main(words.split()) == 2
    assert "run keytoll init" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_words_that_mean_nothing_are_bad_input() -> None:
    with pytest.raises(BadValue, match="keytoll account --help"):
        parser().parse_args(["account"])


def test_maintaining_the_programs_own_prices_needs_no_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEYTOLL_DATA", str(tmp_path / "data"))
    before = {path: path.read_bytes() for path in DATA.rglob("*.jsonl")}
    main(["prices", "refresh", "--at", "2026-11-23", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["written"] is False
    assert {path: path.read_bytes() for path in DATA.rglob("*.jsonl")} == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["litellm", "nobody=x@2026-11-23", "litellm=none@2026-11-23"])
def test_a_source_that_is_none_is_bad_input(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prices", "refresh", "--at", "2026-11-23", "--source", source]) == 2
    assert "source" in capsys.readouterr().err
