"""Who calls, and what their role lets them do (API.md 2)."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Final

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.errors import ApiError
from domain.account import INSTALLATION_ROLES
from domain.clock import Clock, instant_text
from domain.directory import STALE_S, ApiKeyView, Directory
from domain.eventlog.port import CorruptLog, StoreUnavailable
from domain.ledger import API_KEY_PREFIX, secret_sha256

REPORT_READERS: Final = ("owner", "finance", "operator")
"""Roles that read usage and invoices."""
KEY_CHARS_MAX: Final = 100
CATCH_UP_S: Final = 1.0
"""How long a call waits for a view of the log that is young enough."""
_BUCKETS_MAX: Final = 20_000
_UNKNOWN: Final = "This API key is unknown, expired or revoked."
_ABSENT: Final = "No API key was given: send 'Authorization: Bearer kt_…' or 'x-api-key: kt_…'."
_FOREIGN: Final = (
    "This is not an API key of keytoll: those begin with kt_. A provider's own key is stored"
    " with POST /api/user/provider-keys."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a valid API key."""

    account_id: str
    key_id: str
    role: str
    requests_per_minute: int | None
    models: frozenset[str] | None
    """The only models the key is for; None: any."""
    receipt: bool
    """False: leave `x_keytoll` out of answers, unless the request asks for it."""

    @property
    def sees_all_accounts(self) -> bool:
        """The role is one of the installation, not of a single account."""
        return self.role in INSTALLATION_ROLES


class Access:
    """Answers from memory; the directory follows the log."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def stale(self) -> bool:
        """What this process knows is too old to decide by: see `fresh`."""
        return self._directory.age_s() > STALE_S

    async def fresh(self) -> None:
        """Return as soon as what this process knows is young enough to decide by.

        The directory is followed all the time; where that has come to a halt (a busy or frozen
        machine, a store that is away), a look at the log of our own is worth a moment. Raises
        StoreUnavailable when it does not help: what was revoked elsewhere must not pass here.
        """
        if not self.stale:
            return
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())
        await asyncio.wait({self._catching_up}, timeout=CATCH_UP_S)
        if self.stale:
            raise StoreUnavailable("what is known of the log is too old to decide by")

    async def _catch_up(self) -> None:
        with suppress(StoreUnavailable, CorruptLog):
            await asyncio.to_thread(self._directory.catch_up)

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who sent these headers (names in lower case).

        Raises ApiError: 401 invalid_api_key, 403 account_suspended. Roles of the installation
        are not suspended with the account that their keys belong to.
        """
        return self.holder(self._directory.api_key(secret_sha256(_given_key(headers))))

    def holder(self, key: ApiKeyView | None) -> Caller:
        """Who holds this API key; raises as `caller` does."""
        if key is None or key.revoked:
            raise _unauthorized(_UNKNOWN)
        if key.expires_at is not None and key.expires_at <= instant_text(self._clock.now()):
            raise _unauthorized(_UNKNOWN)
        if key.role not in INSTALLATION_ROLES:
            account = self._directory.account(key.account_id)
            if account is None or account.suspended:
                raise ApiError(403, "account_suspended", "This account is suspended.")
        return Caller(
            account_id=key.account_id,
            key_id=key.key_id,
            role=key.role,
            requests_per_minute=key.requests_per_minute,
            models=key.models,
            receipt=key.receipt,
        )

    def require(self, caller: Caller, *roles: str) -> None:
        """Raise ApiError 403 role_not_allowed unless the caller has one of the roles."""
        if caller.role not in roles:
            raise ApiError(
                403,
                "role_not_allowed",
                f"An API key of role {caller.role} may not do this; it takes {_either(roles)}.",
            )

    def account_for(self, caller: Caller, account_id: str | None) -> str:
        """The account that a request is about: the caller's own unless it names another.

        Raises ApiError 404 for an account that the caller may not know of or that is not there.
        """
        if account_id is None or account_id == caller.account_id:
            return caller.account_id
        if caller.sees_all_accounts and self._directory.account(account_id) is not None:
            return account_id
        raise ApiError(404, "not_found", "There is no such account.", param="account")

    def reach(self, caller: Caller, account_id: str | None) -> str | None:
        """Whose usage and invoices: `account_for`, but everybody's (None) for the installation's
        roles unless they name an account."""
        if account_id is None and caller.sees_all_accounts:
            return None
        return self.account_for(caller, account_id)

    def allow(self, *roles: str) -> Callable[..., Awaitable[Caller]]:
        """A dependency for FastAPI routes: the caller, if it has one of the roles."""

        async def allowed(
            request: Request,
            _bearer: Annotated[object, Security(_BEARER)],
            _x_api_key: Annotated[object, Security(_X_API_KEY)],
        ) -> Caller:
            caller = self.caller(request.headers)
            self.require(caller, *roles)
            return caller

        return allowed


class RateLimiter:
    """Requests per minute of each API key: a token bucket in this process.

    A key may use a whole minute's worth at once; then it refills evenly. Several processes each
    keep their own, so the limit of several is approximate by design.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, caller: Caller) -> None:
        """Take one request. Raises ApiError 429 rate_limit_exceeded, saying when to come back."""
        limit = caller.requests_per_minute
        if limit is None:
            return
        wait_s = self._take(caller.key_id, limit)
        if wait_s > 0:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"This API key may make {limit} requests a minute.",
                headers={"retry-after": str(math.ceil(wait_s)), "x-should-retry": "true"},
            )

    def _take(self, key_id: str, limit: int) -> float:
        """Seconds until a request is free; 0 takes one."""
        per_s = limit / 60
        now_s = self._clock.monotonic_s()
        with self._lock:
            tokens, since_s = self._buckets.pop(key_id, (float(limit), now_s))
            tokens = min(float(limit), tokens + (now_s - since_s) * per_s)
            wait_s = 0.0 if tokens >= 1 else (1 - tokens) / per_s
            self._buckets[key_id] = (tokens if wait_s else tokens - 1, now_s)
            # The key that was silent for longest has most likely filled up again.
            while len(self._buckets) > _BUCKETS_MAX:
                self._buckets.popitem(last=False)
        return wait_s


_BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="Bearer", description="An API key of keytoll: `kt_…`."
)
_X_API_KEY: Final = APIKeyHeader(
    name="x-api-key", auto_error=False, scheme_name="x-api-key", description="The same key."
)


def _given_key(headers: Mapping[str, str]) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = headers.get("x-api-key", "")
    given = given.strip()
    if not given:
        raise _unauthorized(_ABSENT)
    if not given.startswith(API_KEY_PREFIX):
        raise _unauthorized(_FOREIGN)
    if len(given) > KEY_CHARS_MAX:
        raise _unauthorized(_UNKNOWN)
    return given


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})


def _either(roles: tuple[str, ...]) -> str:
    return " or ".join(roles)
