"""Columns to Arrow, as ClickHouse reads it: every value is checked before anything is sent.

The engine itself cuts what does not fit (decimal digits, high bits, the fraction of a float), and
says nothing. Arrow raises; what it would let pass is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, Final

import pyarrow as pa

from projections.store.port import Columns, OutOfRange

Values = Sequence[Any]
Column = Callable[[Values], pa.Array]

_PLAIN: Final[Mapping[str, pa.DataType]] = {
    "String": pa.string(),
    "Bool": pa.bool_(),
    "UUID": pa.binary(16),
    "Int8": pa.int8(),
    "UInt8": pa.uint8(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
}
_DECIMAL: Final = re.compile(r"Decimal\((\d+), (\d+)\)")
_FIXED: Final = re.compile(r"FixedString\((\d+)\)")
_INSTANT: Final = "DateTime64(6, 'UTC')"


def arrow_file(table: str, rows: Columns, types: Mapping[str, str]) -> pa.Buffer:
    """The rows as an Arrow file of one batch. Raises OutOfRange, naming the column.

    Instants are microseconds since 1970, UUIDs 16 bytes or UUID objects.
    """
    arrays = []
    for name, values in zip(rows.names, rows.values, strict=True):
        try:
            arrays.append(_column(types[name])(values))
        except (pa.ArrowException, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            raise OutOfRange(
                f"{table}.{name}: does not fit {types[name]}: {error}", param=f"{table}.{name}"
            ) from None
    batch = pa.record_batch(arrays, names=list(rows.names))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as file:
        file.write_batch(batch)
    return sink.getvalue()


@lru_cache(maxsize=256)
def _column(column_type: str) -> Column:
    """How values become a column of a ClickHouse type."""
    if column_type.startswith("Nullable("):
        return _of(arrow_type(column_type[len("Nullable(") : -1]))
    if column_type.startswith("Array("):
        return _list_of(_column(column_type[len("Array(") : -1]))
    if column_type.startswith("Map("):
        return _texts_by_text
    if column_type == "UUID":
        return _known(_uuids)
    if column_type == "LowCardinality(String)":
        return _known(_low_cardinality)
    return _known(_of(arrow_type(column_type)))


_WHOLE: Final = frozenset({int, bool, type(None)})


def arrow_type(column_type: str) -> pa.DataType:
    """The Arrow type of a plain ClickHouse type."""
    if column_type == _INSTANT:
        return pa.timestamp("us", tz="UTC")
    if match := _DECIMAL.fullmatch(column_type):
        return pa.decimal128(int(match[1]), int(match[2]))
    if match := _FIXED.fullmatch(column_type):
        return pa.binary(int(match[1]))
    return _PLAIN[column_type]


def _of(kind: pa.DataType) -> Column:
    def column(values: Values) -> pa.Array:
        counts = pa.types.is_integer(kind) or pa.types.is_timestamp(kind)
        if counts and not _WHOLE.issuperset(map(type, values)):
            raise ValueError("only a whole number is one")
        return pa.array(values, kind)

    return column


def _known(column: Column) -> Column:
    """The engine would take a default for what is missing."""

    def known(values: Values) -> pa.Array:
        made = column(values)
        if made.null_count:
            raise ValueError("a value is missing")
        return made

    return known


def _low_cardinality(values: Values) -> pa.Array:
    return pa.array(values, pa.string()).dictionary_encode()


def _uuids(values: Values) -> pa.Array:
    return pa.array(
        [value if type(value) is bytes else value.bytes for value in values], pa.binary(16)
    )


def _list_of(inner: Column) -> Column:
    def column(values: Values) -> pa.Array:
        return pa.ListArray.from_arrays(_offsets(values), inner(list(chain.from_iterable(values))))

    return column


def _texts_by_text(values: Values) -> pa.Array:
    keys = [key for value in values for key in value]
    texts = [text for value in values for text in value.values()]
    return pa.MapArray.from_arrays(_offsets(values), _text(keys), _text(texts))


_text: Final = _known(_of(pa.string()))


def _offsets(values: Values) -> pa.Array:
    return pa.array(accumulate(map(len, values), initial=0), pa.int32())
