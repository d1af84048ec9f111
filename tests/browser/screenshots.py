"""Pictures of every page as every role, light and dark, narrow and wide: `make screenshots`.

python -m tests.browser.screenshots [FOLDER] [ROLE…]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from playwright.sync_api import Browser

from tests.browser.scene import NICE, Scene, staged
from tests.browser.visitor import NARROW, WIDE, Scheme, Visitor, chromium, visiting
from tests.browser.walk import kind_of, pages_of
from tests.e2e.upstream import ScriptedUpstream
from tests.keytoll.conftest import ROLES

FOLDER: Final = Path("build/screenshots")
LOOKS: Final[tuple[tuple[int, Scheme], ...]] = (
    (WIDE, "light"),
    (WIDE, "dark"),
    (NARROW, "light"),
    (NARROW, "dark"),
)


def main(folder: Path = FOLDER, roles: tuple[str, ...] = ROLES) -> int:
    """Take them all; the number of things that a page did and may not do."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data, ScriptedUpstream() as upstream, chromium() as browser:
        scene = staged(Path(data), upstream, NICE, days=45, calls_a_day=16)
        try:
            faults = [fault for role in roles for fault in _role(browser, scene, role, folder)]
            faults += _signed_out(browser, scene, folder)
        finally:
            scene.program.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}", *faults, sep="\n")
    return len(faults)


def _role(browser: Browser, scene: Scene, role: str, folder: Path) -> list[str]:
    with visiting(browser, scene.program.base_url) as visitor:
        visitor.sign_in(scene.program.api_keys[role])
        kinds = {f"/calls/{call}": kind for kind, call in scene.calls.items()}
        # Callers see their own calls only.
        first = [] if role in {"auditor", "caller"} else list(kinds)
        for path in pages_of(visitor, first):
            _take(visitor, folder, f"{role}{_slug(path)}{kinds.get(path, '')}")
        return visitor.faults


def _signed_out(browser: Browser, scene: Scene, folder: Path) -> list[str]:
    with visiting(browser, scene.program.base_url) as visitor:
        for path in ("/sign-in", "/no/such/page", "/sign-in/used-already"):
            visitor.go(path)
            _take(visitor, folder, f"nobody{_slug(path)}")
        return visitor.faults


def _take(visitor: Visitor, folder: Path, name: str) -> None:
    page = visitor.page
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(250)  # charts are drawn anew
        page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)


def _slug(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind_of(path).replace("…", "one").lower()).rstrip("-")


if __name__ == "__main__":
    chosen = sys.argv[1:]
    into = Path(chosen[0]) if chosen else FOLDER
    sys.exit(main(into, tuple(chosen[1:]) or ROLES) > 0)
