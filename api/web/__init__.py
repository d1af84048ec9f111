"""The pages: what the API does, for people (server-rendered, no build step)."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter
from starlette.routing import Route

from api.web import api_keys, audit, call, invoices, keys, models, settling, sign_in, start, usage
from api.web.assets import serve_asset
from api.web.operations import Operations
from api.web.operator import routers as operator_routers
from api.web.pages import Pages


def routers(pages: Pages, operations: Operations) -> Iterable[APIRouter]:
    """The routes of every page, and of the files that they load."""
    yield APIRouter(routes=[Route("/static/{name:path}", serve_asset, methods=["GET"])])
    yield sign_in.router(pages)
    yield api_keys.router(pages, operations)
    yield keys.router(pages, operations)
    yield models.router(pages, operations)
    yield start.router(pages, operations)
    yield from operator_routers(pages, operations)
    yield usage.router(pages, operations)
    yield call.router(pages, operations)
    yield invoices.router(pages, operations)
    yield settling.router(pages, operations)
    yield audit.router(pages, operations)
