"""An installation in this process: stores, application, an account with a key of each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest

from api.app import Application
from api.auth import Access
from api.chat.estimate import Estimator
from api.chat.inflight import InFlight
from api.metrics import Metrics
from api.providers.http import Upstream
from api.web.session import Sessions
from domain.clock import Clock, SystemClock
from keytoll.gauges import Gauges
from keytoll.settings import Settings
from keytoll.site import Site, base_urls
from keytoll.wiring import Stores, open_stores

ROLES: Final = ("owner", "caller", "finance", "auditor", "operator")


@dataclass
class Installation:
    """What a test of the whole application needs; nothing listens on any port."""

    stores: Stores
    sessions: Sessions
    application: Application
    account_id: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    key_ids: dict[str, str] = field(default_factory=dict)

    def open_account(self) -> None:
        """An account with a key of each role."""
        self.account_id, keys = self.stores.ledger.open_account(api_keys=ROLES)
        self.secrets = {str(role): key.secret.reveal() for role, key in keys.items()}
        self.key_ids = {str(role): key.key_id for role, key in keys.items()}

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A browser, as far as the server can tell; with the cookie of a session."""
        name = "__Host-kt-session" if self.stores.settings.public_url else "kt-session"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.application, raise_app_exceptions=False),
            base_url="http://toll.test",
            headers={"accept": "text/html", **headers},
            cookies={} if token is None else {name: token},
        )

    def signed_in(self, role: str) -> httpx.AsyncClient:
        """The same, signed in."""
        return self.client(self.sessions.sign_in(self.secrets[role]))


def installation(
    environment: Mapping[str, str],
    *,
    clock: Clock | None = None,
    upstream: Upstream | None = None,
    estimator: Estimator | None = None,
) -> Installation:
    """The stores of a data folder, opened, and the application over them."""
    settings = Settings.from_environment(environment)
    stores = open_stores(settings, clock or SystemClock(), epoch="test")
    sessions = Sessions(
        Access(stores.directory, stores.clock),
        stores.directory,
        stores.clock,
        stores.vault.keyed_hash,
        stores.labels,
    )
    in_flight = InFlight(stores.log, per_account_max=9, drains_max=1, calls_max=9)
    metrics = Metrics()
    site = Site(
        stores=stores,
        sessions=sessions,
        upstream=upstream or Upstream(),
        estimator=estimator or Estimator({}),
        base_urls=base_urls(settings, sandbox=None),
        in_flight=in_flight,
        metrics=metrics,
        standing=Gauges(stores, in_flight, metrics).standing,
        workers=list,
        why_not_ready=lambda: None,
    )
    return Installation(stores, sessions, site.application())


Install = Callable[..., Installation]


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    """Makes an installation, with settings."""
    opened: list[Installation] = []

    def install(**settings: str) -> Installation:
        made = installation({"KEYTOLL_DATA": str(tmp_path / "data"), **settings})
        opened.append(made)
        return made

    yield install
    for made in opened:
        made.stores.close()


@pytest.fixture
def application(install: Install) -> Application:
    return install().application
