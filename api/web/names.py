"""Names that people gave to accounts, provider keys and API keys, beside their ids."""

from __future__ import annotations

from dataclasses import dataclass

from api.auth import Caller
from api.routes.provider_keys import ProviderKeys
from api.web.choices import SOURCES, STATUSES
from domain.labels.port import LABEL


@dataclass(frozen=True, slots=True)
class Names:
    """Reads the directory and the labels; nothing here decides who may see what."""

    provider_keys: ProviderKeys

    def credential(self, credential_id: str) -> str:
        """`openai ••••x9Qk (team a)`."""
        view = self.provider_keys.directory.credential(credential_id)
        if view is None:
            return credential_id
        label = self._label(credential_id)
        return f"{view.provider} ••••{view.key_suffix}" + (f" ({label})" if label else "")

    def api_key(self, key_id: str) -> str:
        """Its name, or its id."""
        return self._label(key_id) or key_id

    def account(self, account_id: str) -> str:
        """Its name, or its id."""
        return self._label(account_id) or account_id

    def of(self, group: str, value: object) -> str:
        """What a value of a group is called."""
        if group == "sandbox":
            return "sandbox" if value else "real"
        if value is None:
            return "no such tag" if group.startswith("tag:") else "none"
        text = str(value)
        if group in {"credential", "api_key", "account"}:
            named: str = getattr(self, group)(text)
            return named
        return {"status": STATUSES, "usage_source": SOURCES}.get(group, {}).get(text, text)

    def choices(self, caller: Caller, account: str | None) -> dict[str, dict[str, str]]:
        """What the filters offer: id → name, of an account or of all that the caller may see."""
        directory = self.provider_keys.directory
        account_id = account or (None if caller.sees_all_accounts else caller.account_id)
        credentials = [
            view
            for view in directory.all_credentials()
            if account_id in {None, view.account_id} and (account_id or not view.removed)
        ]
        accounts = directory.accounts() if caller.sees_all_accounts else ()
        keys = directory.api_keys(account_id) if account_id else ()
        return {
            "provider": {slug: slug for slug in sorted({view.provider for view in credentials})},
            "credential": {
                view.credential_id: self.credential(view.credential_id) for view in credentials
            },
            "api_key": {key.key_id: self.api_key(key.key_id) for key in keys},
            "account": {view.account_id: self.account(view.account_id) for view in accounts},
        }

    def _label(self, public_id: str) -> str | None:
        return self.provider_keys.labels.get(public_id).get(LABEL)
