"""A command that asks a question is not made to wait for what only the server needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("aiohttp", "fastapi", "uvloop", "chdb", "pyarrow", "psycopg", "kafka")


def test_commands_are_known_without_servers_and_drivers() -> None:
    asked = f"import sys, keytoll.__main__; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
