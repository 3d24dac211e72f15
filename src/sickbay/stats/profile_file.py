"""A profile as a file: one JSON object, small enough to ship with the model; ``sickbay.profile/1``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sickbay.errors import TableError
from sickbay.stats.bins import Bins, LevelBins, NumberBins
from sickbay.stats.profile import Column, Profile

SCHEMA = "sickbay.profile/1"


def to_dict(profile: Profile) -> dict[str, Any]:
    """Return the profile as plain JSON types; NaN is null."""
    return {
        "schema": SCHEMA,
        "says": profile.says,
        "taken_at": profile.taken_at,
        "rows": int(profile.rows),
        "columns": [_column(column) for column in profile.columns.values()],
        "left_out": dict(profile.left_out),
    }


def from_dict(document: Any, *, key: str) -> Profile:
    """Return the profile a JSON object holds; TableError naming ``key`` and the part that is wrong."""
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
        raise TableError(
            f"{key}: this is not a profile of schema {SCHEMA} (found {found!r})",
            hint="`sickbay profile TABLE -o FILE` writes one",
        )
    at = "rows"
    try:
        rows = float(document["rows"])
        columns = {}
        for i, part in enumerate(document["columns"]):
            at = f"columns[{i}]"
            column = _read(part)
            columns[column.name] = column
        at = "left_out"
        return Profile(
            rows, columns, dict(document.get("left_out", {})), str(document.get("says", "")),
            str(document.get("taken_at", "")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(
            f"{key}: the profile is damaged at {at}: {error!r}", hint="take it again with `sickbay profile`"
        ) from None


def looks_like_profile(path: Path) -> bool:
    """Return whether a file begins as a saved profile does."""
    try:
        with path.open("rb") as file:
            return SCHEMA.rpartition("/")[0].encode() in file.read(200)
    except OSError:
        return False


def load(path: Path, *, key: str) -> Profile:
    """Return the profile saved in a file; TableError when it cannot be read as one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TableError(f"{key}: {path} cannot be read as a profile: {error}", hint="take it again") from None
    return from_dict(document, key=f"{key}: {path}")


def dumps(profile: Profile) -> str:
    """Return the text of the file; the same profile gives the same text."""
    return json.dumps(to_dict(profile), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _column(column: Column) -> dict[str, Any]:
    body: dict[str, Any] = {"name": column.name, "kind": column.kind, "rows": column.rows, "nulls": column.nulls}
    body |= {"nans": column.nans, "infinite": column.infinite}
    for name in ("mean", "low", "high", "distinct"):
        value = getattr(column, name)
        body[name] = None if math.isnan(value) else value
    if isinstance(column.bins, NumberBins):
        reach = [column.bins.low, column.bins.high]
        body["range"] = [None if math.isnan(v) else v for v in reach]
        body["step"] = column.bins.step
        body["edges"] = column.bins.edges.tolist()
        quantiles = {str(level): column.quantile(level) for level in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)}
        body["quantiles"] = {level: None if math.isnan(v) else v for level, v in quantiles.items()}
    else:
        body["levels"] = list(column.bins.levels)
        body["complete"] = column.bins.complete
        body["newcomers"] = dict(column.newcomers)
    body["counts"] = [int(count) for count in column.counts]
    return body


def _read(part: Mapping[str, Any]) -> Column:
    bins: Bins
    if part["kind"] == "number":
        low, high = (_number(v) for v in part["range"])
        bins = NumberBins(np.array(part["edges"], dtype=np.float64), low, high, float(part["step"]))
        if not len(bins.edges) or np.any(np.diff(bins.edges) <= 0):
            raise ValueError("the edges do not rise")
    else:
        bins = LevelBins(tuple(str(level) for level in part["levels"]), bool(part["complete"]))
    counts = np.array(part["counts"], dtype=np.float64)
    if len(counts) != bins.size or np.any(counts < 0):
        raise ValueError(f"{len(counts)} counts for {bins.size} bins")
    seen = part.get("newcomers", {})
    return Column(
        str(part["name"]),
        bins,
        float(part["rows"]),
        float(part["nulls"]),
        counts,
        float(part["nans"]),
        float(part["infinite"]),
        mean=_number(part["mean"]),
        low=_number(part["low"]),
        high=_number(part["high"]),
        distinct=_number(part["distinct"]),
        newcomers={str(level): float(rows) for level, rows in seen.items()},
    )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
