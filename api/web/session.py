"""Sessions of the pages: a signed cookie that stands for an API key, checked anew each time.

Nothing is kept on the server but what must be forgotten early: tickets not yet used, and sessions
that were signed out. Both lie among the labels, where every process sees them, and are dropped once
their time is over. A revoked or expired API key ends its sessions at once; a restart ends none.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from api.auth import Access, Caller
from api.errors import ApiError
from domain.clock import Clock
from domain.directory import Directory
from domain.labels.port import Labels
from domain.ledger import secret_sha256

COOKIE: Final = "kt-session"
SESSION_S: Final = 12 * 3600
TICKET_S: Final = 15 * 60
_TICKETS: Final = "pages-tickets"
"""SHA-256 of a ticket → API key, and the second (since 1970) from which on it is worth nothing."""
_SIGNED_OUT: Final = "pages-signed-out"
"""Nonce of a session → the second from which on it would be over anyhow."""
_DROPPED_MAX: Final = 20
"""How many that are over make room for a new one."""
_TOKEN_CHARS_MAX: Final = 300

KeyedHash = Callable[[str, str], str]
"""(purpose, text) → hex digits that only this installation can make."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who looks at a page."""

    caller: Caller
    nonce: str
    csrf: str
    """What a form must carry, so that no other site can send it."""


class Sessions:
    """Gives out sessions and knows them again. Any thread may call anything."""

    def __init__(
        self,
        access: Access,
        directory: Directory,
        clock: Clock,
        keyed_hash: KeyedHash,
        labels: Labels,
    ) -> None:
        self._access = access
        self._directory = directory
        self._clock = clock
        self._keyed_hash = keyed_hash
        self._labels = labels

    def sign_in(self, api_key: str) -> str:
        """A new token for the holder of an API key (`kt_…`). Raises ApiError as `caller` does."""
        key = self._directory.api_key(secret_sha256(api_key.strip()))
        return self._token(self._access.holder(key).key_id)

    def ticket(self, key_id: str) -> str:
        """A word that signs in once, within 15 minutes, as this API key. Writes to the labels."""
        word = secrets.token_urlsafe(24)
        self._keep(_TICKETS, secret_sha256(word), key_id, until_s=self._now_s() + TICKET_S)
        return word

    def redeem(self, ticket: str) -> str | None:
        """A new token for a ticket; None if it was used, is too old or was never given."""
        kept = self._labels.take(_TICKETS, secret_sha256(ticket))
        if kept is None or self._now_s() > _until_s(kept):
            return None
        key_id = kept.partition(" ")[2]
        return self._token(self._access.holder(self._directory.api_key_by_id(key_id)).key_id)

    def open(self, token: str | None) -> Session | None:
        """The session of a token, or None. Raises ApiError 403 if its account is suspended."""
        if token is None or len(token) > _TOKEN_CHARS_MAX or token.count(".") != 3:
            return None
        claim, _, signature = token.rpartition(".")
        # compare_digest takes text only if it is ASCII; a cookie may hold anything.
        made = self._keyed_hash("session", claim).encode()
        if not hmac.compare_digest(made, signature.encode()):
            return None
        key_id, until, nonce = claim.split(".")
        if self._now_s() > int(until) or nonce in self._labels.get(_SIGNED_OUT):
            return None
        try:
            caller = self._access.holder(self._directory.api_key_by_id(key_id))
        except ApiError as error:
            if error.status == 401:
                return None
            raise
        return Session(caller, nonce, self._keyed_hash("csrf", nonce))

    def sign_out(self, session: Session) -> None:
        """End a session before its time, in every process. Writes to the labels."""
        self._keep(_SIGNED_OUT, session.nonce, "", until_s=self._now_s() + SESSION_S)

    def _token(self, key_id: str) -> str:
        until = self._clock.now() + timedelta(seconds=SESSION_S)
        claim = f"{key_id}.{int(until.timestamp())}.{secrets.token_hex(16)}"
        return f"{claim}.{self._keyed_hash('session', claim)}"

    def _keep(self, what: str, name: str, value: str, *, until_s: int) -> None:
        now_s = self._now_s()
        over = (old for old, kept in self._labels.get(what).items() if _until_s(kept) < now_s)
        for old in list(islice(over, _DROPPED_MAX)):
            self._labels.set(what, old, None)
        self._labels.set(what, name, f"{until_s} {value}")

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _until_s(kept: str) -> int:
    return int(kept.partition(" ")[0])
