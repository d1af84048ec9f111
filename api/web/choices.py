"""What the address bar asks of the pages about usage: a period, filters, and how to group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from domain.clock import parse_instant
from domain.errors import BadValue
from domain.tags import is_tag
from projections.queries.filters import Filters, tag_of

PERIODS: Final[Mapping[str, str]] = {
    "today": "Today",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "month": "This month",
    "last-month": "Last month",
    "90d": "Last 90 days",
    "days": "Days of your choice",
}
GROUPINGS: Final[Mapping[str, str]] = {
    "provider": "Provider",
    "model": "Model",
    "credential": "Provider key",
    "api_key": "API key",
    "account": "Account",
    "usage_source": "Who counted",
    "status": "Price found",
    "failure": "Failure",
    "sandbox": "Sandbox or not",
    "tag": "Tag",
    "none": "Nothing",
}
STATUSES: Final[Mapping[str, str]] = {
    "priced": "priced",
    "free_model": "free model",
    "no_paid_equivalent": "free, no paid version",
    "unrated": "no price yet",
    "unrated_units": "partly without a price",
    "failed": "failed",
}
SOURCES: Final[Mapping[str, str]] = {
    "provider": "the provider",
    "estimate": "estimated by us",
    "none": "nothing to count",
}
SANDBOX: Final[Mapping[str, str]] = {"": "Included", "false": "Left out", "true": "Only sandbox"}
CHARS_MAX: Final = 256
_TEXTS: Final = ("account", "provider", "model", "credential", "api_key", "tag")
_DAYS: Final = {"today": 1, "7d": 7, "30d": 30, "90d": 90}
_DAYS_MAX: Final = 3660
_HOURLY_DAYS: Final = 2
_DAILY_DAYS: Final = 93


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """As asked, and the sentence about each field that makes no sense."""

    start: datetime
    end: datetime
    values: Mapping[str, str]
    """Only what differs from the page as it opens."""
    problems: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, str], now: datetime) -> Choices:
        """Read the query of an address."""
        values = {name: given.get(name, "").strip()[:CHARS_MAX] for name in _FIELDS}
        values = {name: value for name, value in values.items() if value}
        problems: dict[str, str] = {}
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        start, end = _month(today), today + timedelta(days=1)
        try:
            start, end = _period(values, today)
        except BadValue as error:
            problems[error.param or "period"] = str(error)
        problems |= _problems(values)
        return cls(start=start, end=end, values=values, problems=problems)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name) or _FIELDS[name]

    @property
    def span(self) -> str:
        """The stretch of time that a bar stands for: a group of `GROUPS`."""
        days = (self.end - self.start).days
        return "hour" if days <= _HOURLY_DAYS else "day" if days <= _DAILY_DAYS else "month"

    @property
    def by(self) -> str | None:
        """The group that bars are stacked by."""
        by = self["by"]
        return None if by == "none" else f"tag:{self['tag_name']}" if by == "tag" else by

    @property
    def filters(self) -> Filters:
        """What is left out. Raises BadValue where there are problems."""
        texts = {name: self.values.get(name) for name in _TEXTS if name not in {"account", "tag"}}
        tag, sandbox = self.values.get("tag"), self.values.get("sandbox")
        return Filters(
            **texts,
            usage_source=self.values.get("usage_source"),
            status=self.values.get("status"),
            sandbox=None if sandbox is None else sandbox == "true",
            tag=None if tag is None else tag_of(tag),
        )

    @property
    def is_filtered(self) -> bool:
        """More is left out than other accounts and other times."""
        return bool(_FILTERS & self.values.keys())

    def query(self, **changes: str) -> str:
        """The same choices with some changed, as they stand in an address."""
        merged = {**self.values, **changes}
        kept = {name: text for name, text in merged.items() if text and text != _FIELDS.get(name)}
        return urlencode(kept)

    def api_query(self, *groups: str) -> str:
        """The same question to `GET /api/v1/usage`."""
        own = {*_TEXTS, "usage_source", "status", "sandbox"}
        return urlencode(
            {
                "from": self.start.date().isoformat(),
                "to": self.end.date().isoformat(),
                **({"group_by": ",".join(groups)} if groups else {}),
                **{name: value for name, value in self.values.items() if name in own},
            },
            safe=",:",
        )


_FIELDS: Final[Mapping[str, str]] = {
    "period": "month",
    "first": "",
    "last": "",
    "by": "provider",
    "tag_name": "",
    "show": "fee_usd",
    **dict.fromkeys((*_TEXTS, "usage_source", "status", "sandbox"), ""),
}
"""Every field, and what it is when an address does not say."""


_FILTERS: Final = {*_TEXTS, "usage_source", "status", "sandbox"} - {"account"}


def _period(values: Mapping[str, str], today: datetime) -> tuple[datetime, datetime]:
    """The half-open period, whole days of UTC. Raises BadValue."""
    tomorrow, name = today + timedelta(days=1), values.get("period", "month")
    if name in _DAYS:
        return tomorrow - timedelta(days=_DAYS[name]), tomorrow
    if name == "month":
        return _month(today), tomorrow
    if name == "last-month":
        return _month(_month(today) - timedelta(days=1)), _month(today)
    if name != "days":
        raise BadValue("There is no such period.", param="period")
    first, last = (_day(values.get(which, ""), which) for which in ("first", "last"))
    if last < first:
        raise BadValue("The last day lies before the first.", param="last")
    if (last - first).days >= _DAYS_MAX:
        raise BadValue("That is more than ten years.", param="last")
    return first, last + timedelta(days=1)


def _month(day: datetime) -> datetime:
    return day.replace(day=1)


def _day(text: str, param: str) -> datetime:
    if len(text) != len("2026-11-01"):
        raise BadValue("Enter a day, such as 2026-11-01.", param=param)
    try:
        day = parse_instant(text, param=param)
        day + timedelta(days=1)
    except (BadValue, OverflowError):
        raise BadValue("Enter a day, such as 2026-11-01.", param=param) from None
    return day


def _problems(values: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, known in (
        *(("by", GROUPINGS), ("status", STATUSES)),
        *(("usage_source", SOURCES), ("sandbox", SANDBOX)),
    ):
        if values.get(name, "") not in {"", *known}:
            found[name] = "There is no such choice."
    if values.get("by") == "tag" and not is_tag(values.get("tag_name", "")):
        found["tag_name"] = "Enter the name of a tag, such as team."
    try:
        tag_of(values.get("tag") or "a=b")
    except BadValue:
        found["tag"] = "Enter a tag as name=value, such as team=search."
    return found
