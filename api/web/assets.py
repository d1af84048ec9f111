"""The pages' own files, named by their content so that browsers may keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "cache-control": "public, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


@cache
def _files() -> dict[str, Path]:
    """The path under /static → the file; nothing else can be asked for."""
    return {
        path.relative_to(FOLDER).as_posix(): path
        for path in FOLDER.rglob("*")
        if path.suffix in _TYPES
    }


@cache
def _content(name: str) -> bytes:
    return _files()[name].read_bytes()


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_content(name), mtime=0)


@cache
def asset(name: str) -> str:
    """The URL of a file under static/; it changes with the content."""
    return f"/static/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:12]}"


async def serve_asset(request: Request) -> Response:
    """`GET /static/…`. Raises ApiError 404.

    These files are sent packed, pages are not: how well a page packs would tell what is in it.
    """
    name = str(request.path_params["name"])
    if name not in _files():
        raise ApiError(404, "not_found", "There is no such file.")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    return Response(
        _packed(name) if packed else _content(name),
        media_type=_TYPES[Path(name).suffix],
        headers={**_HEADERS, **({"content-encoding": "gzip"} if packed else {})},
    )
