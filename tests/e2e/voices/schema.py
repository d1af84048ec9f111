"""Somebody else's rules: a body against the TypedDicts of an official SDK.

Unlike a type adapter it refuses fields that the SDK does not know, at every depth.
"""

from __future__ import annotations

import collections.abc
import types
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import typing_extensions

_MANY = (list, collections.abc.Iterable, collections.abc.Sequence)


def problems(shape: Any, value: Any, where: str = "body") -> list[str]:
    """What is wrong with a value of that shape; empty if nothing is."""
    origin, arguments = get_origin(shape), get_args(shape)
    if shape is Any or shape is object:
        return []
    if origin in (Required, NotRequired, Annotated, typing_extensions.Required):
        return problems(arguments[0], value, where)
    if origin in (Union, types.UnionType):
        return min((problems(each, value, where) for each in arguments), key=len)
    if typing_extensions.is_typeddict(shape):
        return _of_object(shape, value, where)
    if origin is Literal:
        return [] if value in arguments else [f"{where}: {value!r} is none of {arguments}"]
    if origin in _MANY:
        return _of_list(arguments[0], value, where)
    if origin is dict or origin is collections.abc.Mapping:
        if not isinstance(value, dict):
            return [f"{where}: no object"]
        return [
            p
            for name, each in value.items()
            for p in problems(arguments[1], each, f"{where}.{name}")
        ]
    return _of_plain(origin or shape, value, where)


def _of_object(shape: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    hints = typing_extensions.get_type_hints(shape, include_extras=True)
    found = [f"{where}.{name}: unknown field" for name in value if name not in hints]
    found += [f"{where}.{name}: missing" for name in shape.__required_keys__ if name not in value]
    for name, hint in hints.items():
        if name in value:
            found += problems(hint, value[name], f"{where}.{name}")
    return found


def _of_list(shape: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{where}: no list"]
    return [p for at, each in enumerate(value) for p in problems(shape, each, f"{where}[{at}]")]


def _of_plain(shape: Any, value: Any, where: str) -> list[str]:
    if shape is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif shape is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif shape in (None, type(None)):
        fits = value is None
    else:
        fits = isinstance(shape, type) and isinstance(value, shape)
    return [] if fits else [f"{where}: {value!r} is no {getattr(shape, '__name__', shape)}"]
