"""pi-ai's lists, Morpheus's list and the rows kept by hand."""

from __future__ import annotations

import io
import json
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing.sources.hand_kept import HandKept
from pricing.sources.hosts import HOSTS
from pricing.sources.morpheus import Morpheus
from pricing.sources.offer import Offer
from pricing.sources.pi_ai import PiAi


def pi_ai(folder: Path, **records: Any) -> dict[str, Offer]:
    path = folder / "pi-ai.tgz"
    with tarfile.open(path, "w:gz") as package:
        for host in ("openrouter", "vercel-ai-gateway"):
            models = records if host == "openrouter" else {}
            text = json.dumps({"openai-completions": models}).encode()
            member = tarfile.TarInfo(f"package/dist/providers/data/{host}.json")
            member.size = len(text)
            package.addfile(member, io.BytesIO(text))
    return {offer.model: offer for offer in PiAi(path, "pi-ai 1", "2026-11-10").offers()}


def record(model: str, **cost: Any) -> dict[str, Any]:
    whole = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, **cost}
    return {"type": "chat", "id": model, "cost": whole}


def test_prices_and_tiers(tmp_path: Path) -> None:
    tiers = [{"inputTokensAbove": 100000, "input": 0.5, "output": 2.5}]
    offer = pi_ai(tmp_path, m=record("a/b", input=0.1, output=0.5, cacheRead=0.01, tiers=tiers))
    terms = offer["a/b"].standard
    assert terms.prices == {
        "input": Decimal("0.1"),
        "output": Decimal("0.5"),
        "cached_input": Decimal("0.01"),
    }
    assert terms.tiers == {100_000: {"input": Decimal("0.5"), "output": Decimal("2.5")}}


def test_zero_is_free_only_where_the_id_says_so(tmp_path: Path) -> None:
    found = pi_ai(tmp_path, one=record("a/b:free"), two=record("stealth/c"), three=record("auto"))
    assert list(found) == ["a/b:free"]
    assert found["a/b:free"].free


def test_only_chat_models(tmp_path: Path) -> None:
    assert not pi_ai(tmp_path, m={**record("a/b", input=1, output=1), "type": "image"})


def test_morpheus_names_every_model_and_its_default_prices_none(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    models = {
        "glm-5.2": {"input": "1.25", "output": "4.40"},
        "text-embedding-bge-m3": {"input": "0.10", "output": "0.50"},
    }
    content = {"default_input_price_per_million": "0.50", "models": models}
    path.write_text(json.dumps(content))
    (offer,) = Morpheus(path, "morpheus 2026-07-23", "2026-07-23").offers()
    assert (offer.model, offer.as_of) == ("glm-5.2", "2026-07-23")
    assert offer.standard.prices == {"input": Decimal("1.25"), "output": Decimal("4.4")}


def test_a_row_kept_by_hand_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    row = '[[row]]\nprovider = "akash"\nmodel = "m"\nas_of = "2026-11-23"\nsource = "its page"\n'
    path.write_text(f'{row}reason = ""\nprices = {{input = "1", output = "2"}}\n')
    with pytest.raises(ValueError, match="reason"):
        HandKept(path)
    path.write_text(f'{row}reason = "seen there"\nprices = {{input = "1", output = "2"}}\n')
    (offer,) = HandKept(path).offers()
    assert offer.standard.prices == {"input": Decimal(1), "output": Decimal(2)}


def test_providers_without_a_source_are_named_with_the_reason() -> None:
    none = HandKept().none
    assert set(none) <= set(HOSTS)
    assert all(none.values())
