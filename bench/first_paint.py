"""When a browser first paints the usage page with a million calls behind it (loopback).

.venv/bin/python -m bench.first_paint [CALLS]     needs Chromium, as `make test-services` does
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.browser.visitor import Visitor, chromium, visiting
from tests.e2e.program import Program

CALLS: Final = 1_000_000
LOOKS: Final = 9
_FILL: Final = """
import sys
from pathlib import Path
import bench.pages as pages
from projections.migrate import prepare
from projections.store.clickhouse import open_embedded
pages.ACCOUNT = sys.argv[2]
store = open_embedded(Path(sys.argv[1]))
prepare(store)
pages.fill(store, int(sys.argv[3]))
store.close()
"""
_PAINTED: Final = (
    "() => performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)"
)


def main() -> None:
    """Print the median of some looks at each page, after one to warm up."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    with TemporaryDirectory() as folder, chromium() as browser:
        program = Program(Path(folder), upstreams={})
        program.init()
        # One process for each path of the engine: in this one it would stay open.
        tables = str(program.data / "projections")
        words = [sys.executable, "-c", _FILL, tables, program.account_id, str(calls)]
        subprocess.run(words, check=True)
        program.start()
        try:
            with visiting(browser, program.base_url) as visitor:
                visitor.sign_in(program.api_keys["owner"])
                for path in ("/keys", "/usage", "/calls", "/invoices"):
                    print(f"{path:12} {median_ms(visitor, path):6.0f} ms")
        finally:
            program.stop()


def median_ms(visitor: Visitor, path: str) -> float:
    """From asking for the page to its first paint."""
    times = []
    for _ in range(LOOKS + 1):
        page = visitor.go(path)
        painted: list[float] = []
        while not painted:
            page.wait_for_timeout(20)
            painted = page.evaluate(_PAINTED)
        visitor.settle()
        times += painted
    return sorted(times[1:])[LOOKS // 2]


if __name__ == "__main__":
    main()
