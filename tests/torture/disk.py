"""A small disk of its own, that can be filled to the last byte (a tmpfs: root may mount one)."""

from __future__ import annotations

import errno
import subprocess
from contextlib import suppress
from pathlib import Path

PIECE_BYTES = 64 * 1024


class Disk:
    """So many megabytes."""

    def __init__(self, megabytes: int) -> None:
        self._megabytes = megabytes
        self._path: Path | None = None

    def mount(self, path: Path) -> None:
        """Over an empty folder. Raises CalledProcessError without the right to."""
        options = f"size={self._megabytes}m,mode=0777"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
        self._path = path

    def unmount(self) -> None:
        if self._path is not None:
            subprocess.run(["umount", "-l", str(self._path)], check=False)
            self._path = None

    def fill(self) -> int:
        """Not a byte is left; how many were taken."""
        taken = 0
        with self._filler.open("ab", buffering=0) as file:
            for size in (PIECE_BYTES, 4096, 512, 1):
                with suppress(OSError):
                    while True:
                        taken += file.write(b"\0" * size)
        return taken

    def free(self) -> None:
        """There is room again."""
        self._filler.unlink(missing_ok=True)

    @property
    def full(self) -> bool:
        """Not a byte can be written."""
        try:
            with self._filler.open("ab", buffering=0) as file:
                file.write(b"\0")
        except OSError as error:
            return error.errno == errno.ENOSPC
        return False

    @property
    def _filler(self) -> Path:
        assert self._path is not None, "not mounted"
        return self._path / "filler"
