"""Sessions of the pages: a signed cookie that stands for an API key, checked anew each time.

Nothing is kept on the server but what must be forgotten early: tickets not yet used, and sessions
that were signed out. A revoked or expired API key ends its sessions at once; a restart ends none.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from api.auth import Access, Caller
from api.errors import ApiError
from domain.clock import Clock
from domain.directory import Directory
from domain.ledger import secret_sha256

COOKIE: Final = "kt-session"
SESSION_S: Final = 12 * 3600
TICKET_S: Final = 15 * 60
_KEPT_MAX: Final = 10_000
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
        self, access: Access, directory: Directory, clock: Clock, keyed_hash: KeyedHash
    ) -> None:
        self._access = access
        self._directory = directory
        self._clock = clock
        self._keyed_hash = keyed_hash
        self._lock = Lock()
        self._tickets: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._signed_out: OrderedDict[str, None] = OrderedDict()

    def sign_in(self, api_key: str) -> str:
        """A new token for the holder of an API key (`kt_…`). Raises ApiError as `caller` does."""
        key = self._directory.api_key(secret_sha256(api_key.strip()))
        return self._token(self._access.holder(key).key_id)

    def ticket(self, key_id: str) -> str:
        """A word that signs in once, within 15 minutes, as this API key."""
        word = secrets.token_urlsafe(24)
        with self._lock:
            until = self._clock.monotonic_s() + TICKET_S
            self._tickets[secret_sha256(word)] = (key_id, until)
            _shorten(self._tickets)
        return word

    def redeem(self, ticket: str) -> str | None:
        """A new token for a ticket; None if it was used, is too old or was never given."""
        with self._lock:
            key_id, until = self._tickets.pop(secret_sha256(ticket), ("", 0.0))
        if not key_id or self._clock.monotonic_s() > until:
            return None
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
        if self._clock.now().timestamp() > int(until) or nonce in self._signed_out:
            return None
        try:
            caller = self._access.holder(self._directory.api_key_by_id(key_id))
        except ApiError as error:
            if error.status == 401:
                return None
            raise
        return Session(caller, nonce, self._keyed_hash("csrf", nonce))

    def sign_out(self, session: Session) -> None:
        """End a session before its time."""
        with self._lock:
            self._signed_out[session.nonce] = None
            _shorten(self._signed_out)

    def _token(self, key_id: str) -> str:
        until = self._clock.now() + timedelta(seconds=SESSION_S)
        claim = f"{key_id}.{int(until.timestamp())}.{secrets.token_hex(16)}"
        return f"{claim}.{self._keyed_hash('session', claim)}"


def _shorten(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > _KEPT_MAX:
        kept.popitem(last=False)
