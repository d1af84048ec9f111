"""Which models a request may reach beside its `model`.

Gateways take lists of stand-ins, and some providers let one model call another. An API key or a
stored key that is limited to some models is limited to them there too, so every field that can
name a model, or that hides one, is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

FurtherModels = Callable[[Mapping[str, Any]], frozenset[str]]
"""Request body → the models that it names beside `model`."""

HIDDEN: Final = "*"
"""Stands for a model that only the provider knows. It is in no list of models."""


def none_further(_body: Mapping[str, Any]) -> frozenset[str]:
    """`model` is all that is called."""
    return frozenset()


def named_in(*fields: str, hidden: tuple[str, ...] = ()) -> FurtherModels:
    """All models named anywhere in these fields; a field of `hidden` leads to an unknown one."""

    def find(body: Mapping[str, Any]) -> frozenset[str]:
        found = {name for field in fields for name in _models(body.get(field), field)}
        if any(body.get(field) for field in hidden):
            found.add(HIDDEN)
        return frozenset(found)

    return find


def _models(value: Any, name: str, *, names_models: bool = False) -> Iterator[str]:
    """Texts below `model`, `models`, `…_model` or `…_models`, wherever those stand."""
    names_models = names_models or name.lower().endswith(("model", "models"))
    if isinstance(value, str):
        if names_models:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _models(item, name, names_models=names_models)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            # A function of the caller's own may have an argument called `model`.
            if key != "function":
                yield from _models(inner, key, names_models=names_models)
