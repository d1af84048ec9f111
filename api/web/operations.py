"""What the pages do is what the JSON routes do: these are theirs."""

from __future__ import annotations

from dataclasses import dataclass

from api.routes.accounts import Accounts
from api.routes.api_keys import ApiKeys
from api.routes.audit import Trail
from api.routes.invoices import InvoiceRoutes
from api.routes.models import Models
from api.routes.provider_keys import ProviderKeys
from api.routes.routing import RoutingPreferences
from api.routes.usage import UsageRoutes
from api.web.desk import Desk
from api.web.verification import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """One of each, shared by the routes and the pages."""

    provider_keys: ProviderKeys
    routing: RoutingPreferences
    models: Models
    api_keys: ApiKeys
    accounts: Accounts
    usage: UsageRoutes
    invoices: InvoiceRoutes
    trail: Trail
    verification: Verification
    """`keytoll verify`, for those who may see the whole log."""
    desk: Desk
    """For the operator's pages."""
