"""The first start: one account, and an API key of each role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.account import Role
from domain.directory import Directory
from domain.errors import UnsafeSetup
from domain.ledger import Ledger
from domain.secret import Secret

FIRST_ROLES: Final[tuple[Role, ...]] = ("owner", "caller", "finance", "auditor", "operator")


@dataclass(frozen=True, slots=True)
class Installation:
    """What `keytoll init` prints, once."""

    account_id: str
    api_keys: dict[Role, Secret]


def open_installation(ledger: Ledger, directory: Directory) -> Installation:
    """Open the first account with its five API keys, all or nothing.

    Raises UnsafeSetup when there is an account already; nothing is changed then.
    """
    directory.catch_up()
    if directory.first_account_id() is not None:
        raise UnsafeSetup("there is an account already; nothing was changed")
    account_id, keys = ledger.open_account(api_keys=FIRST_ROLES)
    return Installation(account_id, {role: key.secret for role, key in keys.items()})
