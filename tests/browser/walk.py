"""Every page that a role comes to by following links, one of each kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from tests.browser.visitor import Visitor

PAGES_MAX: Final = 60
_IDENTITY: Final = re.compile(
    r"\b(acc|cred|key|req|inv|st|sha256)[_:][^/?&]+|[0-9a-f-]{32,36}|\b[0-9]+\b"
)
_HREFS: Final = "links => links.map(link => link.href)"


def kind_of(path: str) -> str:
    """The same for all pages that differ in whom or what they are about."""
    return _IDENTITY.sub("…", path.partition("?")[0])


def pages_of(visitor: Visitor, first: Sequence[str] = ()) -> Iterator[str]:
    """Opens one page after another and tells its path; the browser stands on it meanwhile.

    Those in `first` are opened even if they are of one kind.
    """
    for path in first:
        if _is_page(visitor, path):
            yield path
    seen = {kind_of(path) for path in first}
    waiting = [urlsplit(visitor.go("/").url).path]
    while waiting:
        path = waiting.pop(0)
        if kind_of(path) in seen:
            continue
        seen.add(kind_of(path))
        assert len(seen) < PAGES_MAX, f"too many kinds of pages: {sorted(seen)}"
        if not _is_page(visitor, path):
            continue
        yield path
        for href in visitor.page.locator("main a[href], nav a[href]").evaluate_all(_HREFS):
            parts = urlsplit(href)
            if href.startswith(visitor.base_url) and not parts.path.startswith("/static/"):
                waiting.append(f"{parts.path}?{parts.query}".rstrip("?"))


def _is_page(visitor: Visitor, path: str) -> bool:
    """Open it; False for a file to download or an answer for programs."""
    answer = visitor.context.request.get(f"{visitor.base_url}{path}")
    if answer.status >= 400:
        visitor.faults.append(f"{path} answers {answer.status}")
        return False
    if "attachment" in answer.headers.get("content-disposition", ""):
        return False
    if not answer.headers["content-type"].startswith("text/html"):
        return False
    visitor.go(path)
    visitor.settle()
    return True
