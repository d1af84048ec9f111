"""The pages' own files, named by their content so that browsers may keep them for ever."""

from __future__ import annotations

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


@cache
def _files() -> dict[str, Path]:
    """The path under /static → the file; nothing else can be asked for."""
    return {
        path.relative_to(FOLDER).as_posix(): path
        for path in FOLDER.rglob("*")
        if path.suffix in _TYPES
    }


@cache
def _content(name: str) -> tuple[bytes, str]:
    data = _files()[name].read_bytes()
    return data, hashlib.sha256(data).hexdigest()[:12]


def asset(name: str) -> str:
    """The URL of a file under static/; it changes with the content."""
    return f"/static/{name}?v={_content(name)[1]}"


async def serve_asset(request: Request) -> Response:
    """`GET /static/…`. Raises ApiError 404."""
    name = str(request.path_params["name"])
    if name not in _files():
        raise ApiError(404, "not_found", "There is no such file.")
    data, _ = _content(name)
    return Response(
        data,
        media_type=_TYPES[Path(name).suffix],
        headers={
            "cache-control": "public, max-age=31536000, immutable",
            "x-content-type-options": "nosniff",
        },
    )
