"""The pages of the people who run the installation, under /operator."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter

from api.web.operations import Operations
from api.web.operator import accounts, api_keys, overview, prices, waiting
from api.web.operator.fields import percent
from api.web.pages import Pages
from domain.clock import instant_text
from pricing.difference import shown_conditions


def routers(pages: Pages, operations: Operations) -> Iterable[APIRouter]:
    """One for each file."""
    pages.templates.filters.update(
        percent=percent, instant=instant_text, conditions=shown_conditions
    )
    for page in (overview, accounts, api_keys, prices, waiting):
        yield page.router(pages, operations)
