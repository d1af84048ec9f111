"""The web application as a whole: what it serves is what the manual and openapi.json say."""

from __future__ import annotations

import re
from pathlib import Path

from api.app import Application
from api.errors import CODES
from api.providers.catalogue import PROVIDERS
from keytoll.settings import Settings
from keytoll.site import offered_providers

MANUAL = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_settings_are_for_rows_that_have_no_limits_of_their_own() -> None:
    settings = Settings.from_environment({"KEYTOLL_FIRST_BYTE_TIMEOUT_S": "7"})
    offered = offered_providers(settings)
    assert offered["openai"].timeouts.first_byte_s == 7
    assert offered["sandbox"].timeouts == PROVIDERS["sandbox"].timeouts
    assert offered["sandbox"].timeouts.first_byte_s == 60


async def test_every_route_is_described_in_the_manual(application: Application) -> None:
    described = {
        (method.upper(), path)
        for path, methods in application.openapi()["paths"].items()
        for method in methods
    }
    written = {(m[1], m[2]) for m in re.finditer(r"(?m)^\| `([A-Z]+) (/[^`]+)` \|", MANUAL)}
    assert written == described, f"docs/api.md: {sorted(written ^ described)}"


async def test_every_code_is_in_the_manual_with_its_status() -> None:
    written = {
        code: int(row[1])
        for row in re.finditer(r"(?m)^\| (\d{3}) \| (`.+`) \|$", MANUAL)
        for code in re.findall(r"`([a-z_]+)`", row[2])
    }
    assert written == dict(CODES)
