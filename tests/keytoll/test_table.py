"""The words of the command line."""

from __future__ import annotations

import pytest

from domain.errors import BadValue
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


def test_words_that_mean_nothing_are_bad_input() -> None:
    with pytest.raises(BadValue, match="keytoll account --help"):
        parser().parse_args(["account"])
