"""What `keytoll serve` says when it begins, also where the database is away at that moment."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from domain.eventlog.port import StoreUnavailable
from keytoll.commands.port import Console
from keytoll.commands.serve import _greet


class _Away:
    def ticket(self, key_id: str) -> str:
        raise StoreUnavailable("the database is not available")


def test_a_database_that_is_away_does_not_end_a_server_that_serves() -> None:
    key = SimpleNamespace(role="owner", key_id="key_1", revoked=False)
    directory = SimpleNamespace(first_account_id=lambda: "acc_1", api_keys=lambda _: (key,))
    settings = SimpleNamespace(data=Path("data"), public_url=None)
    stores = SimpleNamespace(settings=settings, directory=directory)
    out = io.StringIO()
    console = Console(cast(Any, out), cast(Any, io.StringIO()), Path())
    _greet("http://127.0.0.1:1", None, cast(Any, stores), cast(Any, _Away()), console)
    assert out.getvalue().splitlines()[-1] == "No sign-in links now: the database is away."
