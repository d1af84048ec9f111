from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.management import opened
from tests.api.web.front import Front


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with opened() as world:
        yield Front(world)
