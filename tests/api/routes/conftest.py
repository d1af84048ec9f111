from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.management import Management, opened


@pytest.fixture
async def world() -> AsyncIterator[Management]:
    async with opened() as world:
        yield world
