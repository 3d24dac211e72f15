"""Batches of any make as columns of numpy arrays: mappings, 2-D and structured arrays, Arrow, pandas, Polars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sickbay.errors import UserError

Array = np.ndarray[Any, np.dtype[Any]]


def columns_of(batch: Any, names: Sequence[str] | None) -> dict[str, Array]:
    """Return the columns asked for (None: all); UserError for what is missing, ragged, or no batch at all."""
    raw = _raw(batch, names)
    if names is None:
        names = list(raw)
    missing = [name for name in names if name not in raw]
    if missing:
        raise UserError(
            f"the batch has no column {missing[0]!r}", hint=f"it has {', '.join(map(str, list(raw)[:20])) or 'none'}"
        )
    columns = {name: _array(name, raw[name]) for name in names}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name} {len(values)}" for name, values in list(columns.items())[:5])
        raise UserError(f"the columns of the batch differ in length: {told}", hint="one value a row in every column")
    return columns


def _raw(batch: Any, names: Sequence[str] | None) -> dict[str, Any]:
    if isinstance(batch, Mapping):
        return dict(batch)
    if isinstance(batch, np.ndarray):
        if batch.dtype.names:
            return {name: batch[name] for name in batch.dtype.names}
        if batch.ndim != 2:
            raise UserError(f"an array of {batch.ndim} dimensions is no batch", hint="rows × columns, or a mapping")
        chosen = names or [f"x{i}" for i in range(batch.shape[1])]
        if batch.shape[1] != len(chosen):
            raise UserError(
                f"an array of {batch.shape[1]} columns for {len(chosen)} names",
                hint="one column a name, in their order",
            )
        return {name: batch[:, i] for i, name in enumerate(chosen)}
    if hasattr(batch, "column_names") and hasattr(batch, "column"):  # pyarrow.Table
        return {name: batch.column(name) for name in batch.column_names}
    if hasattr(batch, "schema") and hasattr(batch, "column"):  # pyarrow.RecordBatch
        return {name: batch.column(i) for i, name in enumerate(batch.schema.names)}
    if hasattr(batch, "columns") and hasattr(batch, "__getitem__"):  # pandas, Polars
        return {str(name): batch[name] for name in batch.columns}
    if hasattr(batch, "__arrow_c_stream__") or hasattr(batch, "__arrow_c_array__"):
        return _through_duckdb(batch)
    raise UserError(
        f"a {type(batch).__module__}.{type(batch).__name__} is no batch",
        hint="a mapping of columns, a 2-D array, Arrow, pandas or Polars",
    )


def _through_duckdb(batch: Any) -> dict[str, Any]:
    import pyarrow

    table = pyarrow.table(batch)
    return {name: table.column(name) for name in table.column_names}


def _array(name: str, values: Any) -> Array:
    """Return one column: floats where all are numbers (null as NaN), objects otherwise (null as None)."""
    if isinstance(values, np.ndarray):
        array = values
    elif hasattr(values, "to_numpy"):
        array = _to_numpy(values)
    else:
        array = np.asarray(list(values))
    if array.ndim != 1:
        raise UserError(f"column {name!r} has {array.ndim} dimensions", hint="one value a row")
    if array.dtype.kind in "iufb":
        return array
    if array.dtype.kind in "US":
        return array.astype(object)
    if array.dtype.kind != "O":
        raise UserError(f"column {name!r} holds {array.dtype}, which a stream does not follow", hint="leave it out")
    if all(v is None or isinstance(v, int | float | np.number) for v in array.tolist()):
        return np.array([np.nan if v is None else v for v in array.tolist()], dtype=np.float64)
    return array


def _to_numpy(values: Any) -> Array:
    try:
        return np.asarray(values.to_numpy(zero_copy_only=False))  # pyarrow
    except TypeError:
        return np.asarray(values.to_numpy())  # pandas, Polars
