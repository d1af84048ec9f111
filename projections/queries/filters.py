"""What a report leaves out: exact values of some columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from domain.errors import BadValue
from domain.tags import is_tag
from projections.store.port import Value

_COLUMNS: Final = {
    "account": "account_id",
    "provider": "provider",
    "model": "model",
    "requested_model": "requested_model",
    "credential": "credential_id",
    "api_key": "api_key_id",
    "usage_source": "usage_source",
    "status": "status",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """None: everything."""

    account: str | None = None
    provider: str | None = None
    model: str | None = None
    requested_model: str | None = None
    credential: str | None = None
    api_key: str | None = None
    usage_source: str | None = None
    status: str | None = None
    sandbox: bool | None = None
    tag: tuple[str, str] | None = None
    """Name and value."""

    def of_account(self, account: str | None) -> Filters:
        """The same for one account, or for all."""
        return replace(self, account=account)

    def sql(self) -> tuple[str, dict[str, Value]]:
        """`AND …` over the columns of request_lines, and the parameters in it."""
        parts: list[str] = []
        parameters: dict[str, Value] = {}
        for name, column in _COLUMNS.items():
            value = getattr(self, name)
            if value is not None:
                parts.append(f"AND l.{column} = {{only_{name}:String}}")
                parameters[f"only_{name}"] = value
        if self.sandbox is not None:
            parts.append("AND l.sandbox" if self.sandbox else "AND NOT l.sandbox")
        if self.tag is not None:
            parts.append("AND l.tags[{tag_name:String}] = {tag_value:String}")
            parameters["tag_name"], parameters["tag_value"] = self.tag
        return " ".join(parts), parameters


def tag_of(text: str) -> tuple[str, str]:
    """Read `team=a`. Raises BadValue."""
    name, equals, value = text.partition("=")
    if not equals or not is_tag(name) or not is_tag(value):
        raise BadValue("a tag is written as name=value", param="tag")
    return name, value
