"""Alerts look at metrics that exist."""

from __future__ import annotations

import re

from tests.architecture.source import LAYERS, sources
from tests.services.alerts import alerted, rules

HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def metrics() -> set[str]:
    """Every name of the source."""
    return {
        name
        for source in sources(*LAYERS)
        for name in re.findall(r"\"(keytoll_[a-z_]+)\"", source.text)
    }


def test_every_metric_of_an_alert_exists() -> None:
    assert alerted()
    missing = {HISTOGRAM.sub("", name) for name in alerted()} - metrics()
    assert not missing, f"deploy/alerts.yml: {', '.join(sorted(missing))}"


def test_every_alert_says_what_and_how_urgent() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
