from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.chat.calls import Calls, opened_calls


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    async with opened_calls() as calls:
        yield calls
