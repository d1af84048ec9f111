"""Where Azure serves OpenAI's protocols: a customer's resource, and the deployments in it.

A deployment is what Azure calls a model that a customer has set up under a name of his own. Two
generations of paths serve it: the classic one names deployment and API version, the newer `v1`
takes the deployment as the body's model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

from api.providers.addressing import Address
from api.providers.keys import Fields
from api.providers.lenient import objects
from api.providers.port import ProviderKey, RawObject, UpstreamRequest
from api.providers.validation import Check
from domain.events.base import JsonObject
from pricing.names import Names

RESPONSES_SINCE: Final = "2025-03-01"
"""The first dated API version that has Responses at all; older ones are taken as `v1`."""

_NAMES: Final = Names({})
"""Spellings of one model; rules only, so that nothing has to be read."""

_V1: Final[Mapping[str, str]] = {"v1": "", "preview": "?api-version=preview", "latest": ""}
"""API versions that mean the newer paths → what they add to the URL."""


def chat_address(key: ProviderKey, base_url: str, model: str) -> Address:
    """`/openai/deployments/…/chat/completions` or `/openai/v1/chat/completions`."""
    deployment = deployment_for(key, model)
    version = key["apiVersion"]
    if version in _V1:
        path = "/openai/v1/chat/completions" + _V1[version]
    else:
        name = quote(deployment, safe="")
        path = f"/openai/deployments/{name}/chat/completions?api-version={version}"
    return _address(key, base_url, path, deployment)


def responses_address(key: ProviderKey, base_url: str, model: str) -> Address:
    """`/openai/v1/responses`, or `/openai/responses` of a dated API version that has it."""
    version = key["apiVersion"]
    if version in _V1:
        path = "/openai/v1/responses" + _V1[version]
    elif version < RESPONSES_SINCE:
        path = "/openai/v1/responses"
    else:
        path = f"/openai/responses?api-version={version}"
    return _address(key, base_url, path, deployment_for(key, model))


def deployment_for(key: ProviderKey, model: str) -> str:
    """The deployment that serves `model`.

    The one of this name; else the first that is said to serve this model, in this or another
    spelling; else the credential's own deployment; else a deployment called like the model.
    """
    deployments = _deployments(key)
    own = key.get("deploymentName")
    if model in deployments or model == own:
        return model
    serving = [name for name, served in deployments.items() if served == model]
    if not serving:
        wanted = _NAMES.key(model)
        serving = [name for name, served in deployments.items() if _NAMES.key(served) == wanted]
    if own in serving:
        return own
    return serving[0] if serving else own or model


def list_models(key: ProviderKey, base_url: str, _model: str | None, _at: datetime) -> Check:
    """The models of the resource. It proves the key, not that a deployment exists."""
    version = key["apiVersion"]
    path = "/openai/v1/models" + _V1.get(version, "")
    if version not in _V1:
        path = f"/openai/models?api-version={version}"
    request = UpstreamRequest(
        url=_base(key, base_url) + path,
        headers={**_auth(key), "accept": "application/json"},
        body=b"",
        method="GET",
    )
    return Check(request=request)


def without_filter(found: RawObject, data: bytes) -> bytes | None:
    """A chunk of Azure, or nothing if only its content filter speaks in it.

    The filter speaks in chunks without choices (of the prompt) and in choices without a delta
    (when it runs behind the answer, also after its end), which no client of OpenAI expects.
    """
    choices = objects(found.get("choices"))
    kept = any(map(_speaks, choices)) if choices else found.get("usage")
    return data if kept else None


def _speaks(choice: RawObject) -> bool:
    return bool(choice.get("finish_reason")) or isinstance(choice.get("delta"), dict)


def _address(key: ProviderKey, base_url: str, path: str, deployment: str) -> Address:
    served = _deployments(key).get(deployment)
    context: JsonObject = {} if served is None else {"deployment_model": served}
    return Address(_base(key, base_url) + path, _auth(key), deployment, context)


def _base(key: ProviderKey, base_url: str) -> str:
    return (base_url or key["endpoint"]).rstrip("/")


def _auth(key: ProviderKey) -> Fields:
    return {"api-key": key["apiKey"]}


def _deployments(key: ProviderKey) -> dict[str, str]:
    """Deployment → model, in the order of their names."""
    found: dict[str, str] = json.loads(key.get("deployments") or "{}")
    return found
