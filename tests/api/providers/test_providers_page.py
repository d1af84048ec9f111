"""docs/providers.md says of each provider what its row of the catalogue says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from api.providers.catalogue import PROVIDERS, Provider
from api.providers.port import ChatCall
from tests.api.chat.calls import BOOKS
from tests.instants import AT

PAGE = (Path(__file__).parents[3] / "docs" / "providers.md").read_text()
KEY = {
    "apiKey": "k" * 20,
    "region": "us-east-1",
    "deploymentName": "d",
    "apiVersion": "v1",
    "endpoint": "https://acme.openai.azure.com",
}


def table(head: str) -> list[list[str]]:
    """The cells of the rows below the head that begins so."""
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def slugs(cell: str) -> list[str]:
    return [name for name in re.findall(r"`([a-z-]+)`", cell) if name in PROVIDERS]


ROWS = {slugs(cells[0])[0]: cells for cells in table("slug | protocol")}


def test_every_provider_has_its_line_in_the_catalogue_s_order() -> None:
    assert [slugs(cells[0]) for cells in table("slug | protocol")] == [[s] for s in PROVIDERS]


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.slug)
def test_a_line_says_what_the_row_says(row: Provider) -> None:
    named, protocol, _, key, check, hangs_up = ROWS[row.slug]
    assert row.dialect is not None
    assert protocol == f"`{row.dialect.name}`"
    assert ("only when named" in named) == (not row.auto_mapped)
    assert hangs_up == {"cancel": "cancelled", "drain": "read to its end"}[row.on_disconnect]
    if row.key.any_key:
        assert key == "anything"
    elif row.key.fields is not None:
        assert key.startswith("`{")
        assert all(f"{name}" in key for name in row.key.suffix_of)
    else:
        shown = ", ".join(f"`{prefix}…`" for prefix in row.key.prefixes)
        assert key == (shown or "opaque")
    assert row.validation is not None
    found = row.validation(KEY, row.base_url, None, AT)
    path = found.request.url.removeprefix(row.base_url) if row.base_url else found.request.url
    path = re.sub(r"^https://(?!api\.chutes)[^/]+", "", path)
    assert f"`{found.request.method} {path}`" in check
    assert ("control" in check) == found.control


def test_the_models_shown_are_known_by_the_price_book() -> None:
    shown = {slug: re.match(r"`([^`]+)`", cells[2]) for slug, cells in ROWS.items()}
    ids = {slug: found[1] for slug, found in shown.items() if found}
    unknown = {slug for slug, model in ids.items() if not BOOKS.current.rows_of(slug, model)}
    assert unknown == {"akash"}  # nobody publishes its prices
    assert set(PROVIDERS) - set(ids) == {"azure", "azure-responses"}


CHAT = {
    row.slug
    for row in PROVIDERS.values()
    if row.dialect is not None and row.dialect.name == "openai.chat"
}


@pytest.mark.parametrize(
    ("head", "column", "left_out"),
    [
        ("slug | thoughts of earlier turns go back as", 0, {"sandbox"}),
        ("slug | token limit", 0, {"sandbox"}),
        ("where usage comes from", 1, set()),
        ("slug | free", 0, {"sandbox", "azure"}),
    ],
)
def test_every_provider_of_the_protocol_is_told_of_once(
    head: str, column: int, left_out: set[str]
) -> None:
    told = [slug for cells in table(head) for slug in slugs(cells[column])]
    assert sorted(told) == sorted(CHAT - left_out)


def test_the_name_of_the_token_limit() -> None:
    for cells in table("slug | token limit"):
        for slug in slugs(cells[0]):
            dialect = PROVIDERS[slug].dialect
            assert dialect is not None
            sent = set()
            for name in ("max_tokens", "max_completion_tokens"):
                call = ChatCall(
                    body={"messages": [], name: 5},
                    model="m",
                    stream=False,
                    wants_usage=False,
                    choices=1,
                    at=AT,
                )
                body = json.loads(dialect.request(call, KEY, "https://a.test").body)
                sent |= {limit for limit in body if limit.startswith("max_")}
            shown = f"`{min(sent)}`" if len(sent) == 1 else "as the client wrote it"
            assert cells[1] == shown, slug
