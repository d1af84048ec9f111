"""Every page as every role, narrow and wide, dark and light, where all that can be chosen by
somebody was chosen by somebody hostile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.scene import HOSTILE, Scene, staged
from tests.browser.visitor import NARROW, WIDE, visiting
from tests.browser.walk import kind_of, pages_of
from tests.e2e.upstream import ScriptedUpstream

pytestmark = pytest.mark.services

LEAST = {"owner": 9, "caller": 2, "finance": 4, "auditor": 2, "operator": 10}
"""So many kinds of pages at least: a walk that finds no way on must not pass."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Scene]:
    staged_scene = staged(
        tmp_path_factory.mktemp("hostile"), upstream, HOSTILE, days=32, calls_a_day=2
    )
    yield staged_scene
    staged_scene.program.stop()


@pytest.mark.parametrize("role", LEAST)
def test_a_role_s_pages(browser: Browser, scene: Scene, role: str) -> None:
    found: list[str] = []
    faults: list[str] = []
    with visiting(browser, scene.program.base_url) as visitor:
        visitor.sign_in(scene.program.api_keys[role])
        for path in pages_of(visitor):
            found.append(kind_of(path))
            page = visitor.page
            for width, scheme in ((WIDE, "light"), (NARROW, "dark")):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme)
                if visitor.overflow() > 0:
                    faults.append(f"{path} is {visitor.overflow()} px too wide at {width}")
                faults += [f"{path} {width} {scheme}: {each}" for each in visitor.violations()]
            if page.locator("[data-pwned]").count():
                faults.append(f"{path} lets a text become an element")
            page.set_viewport_size({"width": WIDE, "height": 900})
            page.emulate_media(color_scheme="light")
    faults += visitor.faults
    assert faults == []
    assert len(found) >= LEAST[role], found
