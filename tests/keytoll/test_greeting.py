"""What `keytoll serve` says when it begins, also where the database is away at that moment."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from domain.errors import BadValue
from domain.eventlog.port import StoreUnavailable
from keytoll.commands.port import Console
from keytoll.commands.serve import _greet
from keytoll.commands.table import parser


class _Away:
    def ticket(self, key_id: str) -> str:
        raise StoreUnavailable("the database is not available")


@pytest.mark.parametrize("scaled", [False, True])
def test_a_database_that_is_away_does_not_end_a_server_that_serves(scaled: bool) -> None:
    key = SimpleNamespace(role="owner", key_id="key_1", revoked=False)
    directory = SimpleNamespace(first_account_id=lambda: "acc_1", api_keys=lambda _: (key,))
    settings = SimpleNamespace(data=Path("data"), public_url=None, scaled=scaled)
    stores = SimpleNamespace(settings=settings, directory=directory)
    out = io.StringIO()
    console = Console(cast(Any, out), cast(Any, io.StringIO()), Path())
    _greet("http://127.0.0.1:1", None, cast(Any, stores), cast(Any, _Away()), console)
    first, *_, last = out.getvalue().splitlines()
    # Where nothing lies in the data folder, it is not named.
    assert first.startswith("keytoll serves on http://127.0.0.1:1")
    assert ("data in" in first) is not scaled
    assert last == "No sign-in links now: the database is away."


@pytest.mark.parametrize("count", ["0", "65", "x", "-1", "1.5", ""])
def test_a_number_of_workers_that_cannot_be_is_refused_in_one_line(
    count: str,
) -> None:
    with pytest.raises(BadValue, match="--workers: must be a whole number from 1 to 64"):
        parser().parse_args(["serve", f"--workers={count}"])
