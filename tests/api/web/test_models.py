"""The page of models lists what the JSON route lists."""

from __future__ import annotations

import re

import pytest

from tests.api.web.front import Front


async def test_models_are_found_with_their_prices(front: Front) -> None:
    assert "No usable provider key is stored yet" in (await front.get("caller", "/models")).text
    await front.world.add_key(provider="sandbox", key="play")
    page = (await front.get("caller", "/models?q=SANDBOX%20echo")).text
    assert "2 found" in page
    (row,) = re.findall(r"<tr>\s*<td><code>sandbox/echo</code></td>.*?</tr>", page, re.S)
    listed = (await front.world.call("caller", "GET", "/api/v1/models/sandbox/echo")).json()
    pricing = listed["providers"][0]["pricing"]
    cells = re.findall(r'<td class="number">(.*?)</td>', row)
    assert cells == [pricing.get(unit, "–") for unit in ("input", "cached_input", "output")]
    assert "No model fits." in (await front.get("caller", "/models?q=<script>")).text


async def test_only_so_many_are_shown(front: Front) -> None:
    await front.world.add_key(provider="openrouter", key="sk-or-v1-abcdefgh")
    page = (await front.get("owner", "/models")).text
    assert "the first 100 are shown" in page
    assert page.count("<tr>") == 101


async def test_a_limited_key_sees_its_models(front: Front) -> None:
    await front.world.add_key(provider="sandbox", key="play")
    sent = {"role": "caller", "models": ["sandbox/echo"]}
    issued = (await front.world.call("owner", "POST", "/api/user/api-keys", sent)).json()
    front.world.secrets["limited"] = issued["secret"]
    page = (await front.get("limited", "/models")).text
    assert "1 found" in page


@pytest.mark.parametrize("role", ["finance", "auditor", "operator"])
async def test_the_page_is_for_those_who_call(front: Front, role: str) -> None:
    assert (await front.get(role, "/models")).status_code == 403
