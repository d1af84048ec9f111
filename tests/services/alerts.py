"""What deploy/alerts.yml looks at."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.services.server import REPOSITORY


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load((REPOSITORY / "deploy/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerted() -> set[str]:
    """The metrics of ours in their expressions."""
    return {name for rule in rules() for name in re.findall(r"keytoll_\w+", rule["expr"])}
