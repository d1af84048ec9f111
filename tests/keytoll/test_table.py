"""The words of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import BadValue
from keytoll.__main__ import main
from keytoll.commands.table import parser


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
