"""Names, labels and default tags: text that people may change or take back at any time.

None of it is in the event log, which keeps everything for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from domain.errors import BadValue
from domain.tags import checked_tags

LABEL: Final = "label"
"""What a person calls a credential, an API key or an account."""
DEFAULT_TAGS: Final = "default_tags"
"""The tags of an account's calls that bring none of their own: a JSON object."""

LABEL_CHARS_MAX: Final = 100


class Labels(Protocol):
    """A few texts for each public id. Any thread may call anything.

    What another process wrote is read here after the next `catch_up`; what this one wrote, at once.
    Writing, taking and catching up raise StoreUnavailable when the store is away; reading never.
    """

    def get(self, public_id: str) -> Mapping[str, str]:
        """All fields of one id; empty if there are none."""

    def set(self, public_id: str, field: str, value: str | None) -> None:
        """Write a field durably; None removes it."""

    def take(self, public_id: str, field: str) -> str | None:
        """Remove a field and give what it held; of several takers, in any process, one gets it."""

    def rows(self) -> Sequence[tuple[str, str, str]]:
        """Every id, field and value, for copying."""

    def catch_up(self) -> None:
        """Take in what other processes wrote."""

    def close(self) -> None:
        """Release the file, or the connection."""


def checked_label(text: str | None, *, param: str) -> str | None:
    """A name for people: one printable line; empty is none. Raises BadValue."""
    if text is None or not text.strip():
        return None
    if len(text) > LABEL_CHARS_MAX or not text.isprintable():
        raise BadValue(
            f"{param} must be one line of at most {LABEL_CHARS_MAX} characters", param=param
        )
    return text.strip()


def default_tags(labels: Labels, account_id: str) -> dict[str, str]:
    """The account's default tags."""
    stored: dict[str, str] = json.loads(labels.get(account_id).get(DEFAULT_TAGS, "{}"))
    return stored


def set_default_tags(labels: Labels, account_id: str, tags: Mapping[str, str]) -> None:
    """Replace the account's default tags. Raises BadValue."""
    checked = checked_tags(tags, param="default_tags")
    text = json.dumps(checked, sort_keys=True) if checked else None
    labels.set(account_id, DEFAULT_TAGS, text)
