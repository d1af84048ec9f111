"""Tags of a call, for reports. They are recorded for ever, so: no personal data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from domain.errors import BadValue

TAGS_MAX: Final = 8
_TAG: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


def is_tag(text: str) -> bool:
    """Whether this can be the name or the value of a tag."""
    return _TAG.fullmatch(text) is not None


def checked_tags(tags: Mapping[str, str], *, param: str) -> dict[str, str]:
    """Tags as a call may carry them. Raises BadValue."""
    if len(tags) > TAGS_MAX:
        raise BadValue(f"{param} may have at most {TAGS_MAX} tags", param=param)
    if not all(is_tag(text) for pair in tags.items() for text in pair):
        raise BadValue(
            f"{param}: names and values have 1 to 64 characters of A-Z a-z 0-9 . _ : / -",
            param=param,
        )
    return dict(tags)
