"""Candidate, champion and data as one set of rows: joined by id, or by position where there is no id."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sickbay.errors import TableError, UserError, nearest
from sickbay.sources.roles import POSITIVE, USUAL_NAMES
from sickbay.sources.tables import connection, open_table, plain, quote, source_error
from sickbay.stats.paired import Side
from sickbay.stats.table import Floats

if TYPE_CHECKING:
    import duckdb

Array = np.ndarray[Any, np.dtype[Any]]
Model = Callable[[Mapping[str, Array]], Any]
CALLED = 200
"""Single rows that a callable model is timed on."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One side: a table of predictions, or a model that can be called. ``latency_ms`` per row where it is known."""

    says: str
    side: Side
    failed: Array
    """Rows that the model gave no finite answer for."""
    latency_ms: Floats
    model: Model | None = None


@dataclass(slots=True)
class Pairs:
    """The rows that both sides answered and that carry a label."""

    label: Floats
    candidate: Answers
    champion: Answers
    features: dict[str, Array]
    segments: dict[str, Array]
    group: Array | None
    task: str
    data: str
    has_scores: bool
    has_classes: bool
    unmatched: int = 0
    unlabelled: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Named:
    """Column names given by the user or the site file; None: found by their usual names."""

    task: str | None = None
    id: str | None = None
    label: str | None = None
    prediction: str | None = None
    score: str | None = None
    latency: str | None = None
    time: str | None = None
    group: str | None = None
    segments: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None


def read(candidate: Any, champion: Any, data: Any, named: Named, base: Path) -> Pairs:
    """Read the three tables and put their rows side by side; TableError or UserError for what cannot be used."""
    con = connection()
    try:
        return _read(con, candidate, champion, data, named, base)
    finally:
        con.close()


def _read(con: duckdb.DuckDBPyConnection, candidate: Any, champion: Any, data: Any, named: Named, base: Path) -> Pairs:
    table = open_table(con, "data", data, base, key="--data")
    columns = [name for name in table.columns if name != "__row"]
    label = _find("label", named.label, columns, "--data") or ""
    id_column = _find("id", named.id, columns, "--data", must=False)
    values = _fetch(con, "data", columns, f"reading {table.says}")
    count = len(values[columns[0]])
    if count == 0:
        raise TableError(f"--data: {table.says} has no rows", hint="name a table with labelled rows")
    notes = [*table.notes(), f"label: {label}"]
    raw_labels = values[label]
    task = named.task or _task(raw_labels, notes)
    used = {label, id_column, named.group, named.time}
    features = {n: values[n] for n in (named.features or [c for c in columns if c not in used]) if n in values}
    ids = values[id_column] if id_column else None
    sides = {}
    unmatched = 0
    for key, given in (("--candidate", candidate), ("--champion", champion)):
        model = _model(given, base, key)
        if model is not None:
            sides[key] = _called(model, str(given), features, count)
            continue
        sides[key], missing = _table_side(con, given, base, key, named, ids, id_column, count, notes)
        unmatched = max(unmatched, missing)
    classes = _classes(
        raw_labels, [s["prediction"] for s in sides.values() if s["prediction"] is not None], task, notes
    )
    kept = ~np.array([v is None or v != v for v in raw_labels.tolist()])
    codes = classes(raw_labels)
    for side in sides.values():
        kept &= side["there"]
    answers = {key: _answers(side, classes, task, kept) for key, side in sides.items()}
    segments = {n: values[n][kept] for n in named.segments if n in values}
    for name in named.segments:
        if name not in values:
            raise TableError(
                f"--data has no segment column {name!r}", hint=nearest(name, columns) or f"it has {columns}"
            )
    group = None
    if named.group:
        if named.group not in values:
            raise TableError(f"--data has no group column {named.group!r}", hint=nearest(named.group, columns))
        group = np.unique(values[named.group][kept].astype(str), return_inverse=True)[1]
    return Pairs(
        label=codes[kept], candidate=answers["--candidate"], champion=answers["--champion"],
        features={n: v[kept] for n, v in features.items()}, segments=segments,
        group=group, task=task, data=table.says,
        has_scores=all(s["score"] is not None for s in sides.values()),
        has_classes=all(s["prediction"] is not None or task == "binary" for s in sides.values()),
        unmatched=unmatched, unlabelled=int(count - unmatched - kept.sum()), notes=notes,
    )  # fmt: skip


def _fetch(con: duckdb.DuckDBPyConnection, view: str, columns: Sequence[str], doing: str) -> dict[str, Array]:
    import duckdb

    try:
        raw = con.execute(f"SELECT {', '.join(map(quote, columns))} FROM {quote(view)} ORDER BY __row").fetchnumpy()
    except duckdb.Error as error:
        raise source_error(error, doing) from error
    return {name: plain(values) for name, values in raw.items()}


def _find(role: str, given: str | None, columns: Sequence[str], key: str, *, must: bool = True) -> str | None:
    if given is not None:
        if given in columns:
            return given
        if not must:
            return None
        raise TableError(
            f"{key} has no column {given!r}", hint=nearest(given, columns) or f"it has {', '.join(columns)}"
        )
    found = next((name for name in USUAL_NAMES[role] if name in columns), None)
    if found is None and must:
        raise TableError(f"{key} has no column that looks like a {role}", hint=f"name it with --{role}")
    return found


def _table_side(
    con: duckdb.DuckDBPyConnection, given: Any, base: Path, key: str, named: Named, ids: Array | None,
    id_column: str | None, count: int, notes: list[str],
) -> tuple[dict[str, Any], int]:  # fmt: skip
    """Return one side's columns in the order of the data's rows, and how many rows it has no answer for."""
    view = key.strip("-")
    table = open_table(con, view, given, base, key=key)
    notes += table.notes()
    columns = [name for name in table.columns if name != "__row"]
    prediction = _find(
        "prediction", named.prediction, columns, key, must=named.prediction is not None and not named.score
    )
    score = _find("score", named.score, columns, key, must=named.score is not None and not named.prediction)
    if prediction is None and score is None:
        raise TableError(
            f"{key}: {table.says} has neither predictions nor scores", hint="name them with --prediction, --score"
        )
    latency = _find("latency", named.latency, columns, key, must=False)
    wanted = [name for name in (prediction, score, latency, id_column) if name and name in columns]
    values = _fetch(con, view, wanted, f"reading {table.says}")
    there = len(values[wanted[0]])
    if there == 0:
        raise TableError(f"{key}: {table.says} has no rows", hint="name a table of predictions")
    if ids is not None and id_column in columns:
        order, known = _by_id(ids, values[id_column], key, id_column)
    elif there == count:
        notes.append(f"{key}: rows are matched by position, as there is no id column on both sides")
        order, known = np.arange(count), np.ones(count, dtype=bool)
    else:
        raise TableError(
            f"{key}: {there:,} predictions for {count:,} rows of data, and no id column on both sides",
            hint="add an id column to both, and name it with --id",
        )
    picked = {name: v[order] for name, v in values.items()}
    return {
        "says": table.says, "prediction": picked.get(prediction or ""), "score": picked.get(score or ""),
        "latency": picked.get(latency or ""), "there": known, "model": None,
    }, int((~known).sum())  # fmt: skip


def _by_id(ids: Array, theirs: Array, key: str, column: str) -> tuple[Array, Array]:
    place: dict[Any, int] = {}
    for i, value in enumerate(theirs.tolist()):
        if value in place:
            raise TableError(f"{key}: the id {value!r} of {column!r} stands there twice", hint="one prediction per id")
        place[value] = i
    mine = ids.tolist()
    if len(set(mine)) < len(mine):
        raise TableError(f"--data: ids of {column!r} repeat", hint="one row per id; rows that belong together: --group")
    found = np.array([place.get(value, -1) for value in mine])
    if not (found >= 0).any():
        raise TableError(f"{key}: no id of --data occurs in {column!r}", hint="are they the same ids, of one type?")
    return np.maximum(found, 0), found >= 0


def _model(given: Any, base: Path, key: str) -> Model | None:
    """Return a model that can be called: a function given, or ``python:module:function``."""
    if callable(given) and not hasattr(given, "columns"):
        return given  # type: ignore[no-any-return]
    if not isinstance(given, str) or not given.startswith("python:"):
        if isinstance(given, str) and given.startswith(("mlflow:", "runs:")):
            raise UserError(f"{key}: {given!r} names no table", hint="models:/NAME@ALIAS, or a table of predictions")
        return None
    import sys

    parts = given.split(":")
    if len(parts) != 3:
        raise UserError(f"{key}: {given!r} names no function", hint="write python:package.module:function")
    if str(base) not in sys.path:
        sys.path.insert(0, str(base))
    try:
        found = getattr(importlib.import_module(parts[1]), parts[2])
    except (ImportError, AttributeError) as error:
        raise UserError(f"{key}: {given}: {error}", hint="write python:package.module:function") from None
    if not callable(found):
        raise UserError(f"{key}: {given} is no function", hint="it takes a mapping of columns and returns scores")
    return found  # type: ignore[no-any-return]


def _called(model: Model, says: str, features: dict[str, Array], count: int) -> dict[str, Any]:
    scores = np.asarray(model(features), dtype=np.float64).ravel()
    if len(scores) != count:
        raise UserError(f"{says} gave {len(scores)} answers for {count} rows", hint="one answer a row")
    spent = []
    for i in range(min(CALLED, count)):
        row = {name: values[i : i + 1] for name, values in features.items()}
        began = time.perf_counter()
        model(row)
        spent.append((time.perf_counter() - began) * 1e3)
    there = np.ones(count, dtype=bool)
    return {
        "says": says,
        "prediction": None,
        "score": scores,
        "latency": np.array(spent),
        "there": there,
        "model": model,
    }


def _task(labels: Array, notes: list[str]) -> str:
    known = [v for v in labels.tolist() if v is not None and v == v]
    different = set(known[:50_000])
    text = bool(known) and not all(isinstance(v, int | float) for v in known[:1000])
    whole = not text and all(float(v) == int(v) for v in different)
    task = (
        "binary" if len(different) <= 2 else "multiclass" if text or (whole and len(different) <= 20) else "regression"
    )
    notes.append(f"task taken as {task}, from the labels; --task says otherwise")
    return task


def _classes(labels: Array, predictions: Sequence[Array], task: str, notes: list[str]) -> Callable[[Array], Floats]:
    """Return how values become numbers: as they are (regression), 0 and 1 (binary), or codes (multiclass)."""
    if task == "regression":
        return lambda values: np.array([np.nan if v is None else float(v) for v in values.tolist()])
    levels = {_word(v) for part in (labels, *predictions) for v in part.tolist()} - {""}
    if task == "multiclass":
        codes = {level: float(i) for i, level in enumerate(sorted(levels))}
        return lambda values: np.array([codes.get(_word(v), np.nan) for v in values.tolist()])
    if len(levels) > 2:
        raise TableError(
            f"labels and predictions hold {len(levels)} values ({', '.join(sorted(levels)[:5])}), not two",
            hint="use the same words on both sides, or --task multiclass",
        )
    positive = [level for level in sorted(levels) if level in POSITIVE] or sorted(levels)[-1:]
    if positive and positive[0] not in ("1", "true"):
        notes.append(f"{positive[0]!r} is taken as the positive class")
    return lambda values: np.array(
        [np.nan if not _word(v) else float(_word(v) == positive[0]) for v in values.tolist()]
    )


def _word(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, int | float) and float(value) == int(value):
        return str(int(value))
    text = str(value).strip().lower()
    return {"true": "1", "false": "0"}.get(text, text)


def _answers(side: dict[str, Any], classes: Callable[[Array], Floats], task: str, kept: Array) -> Answers:
    none = np.full(int(kept.sum()), np.nan)
    raw = side["score"]
    score = none if raw is None else np.array([np.nan if v is None else float(v) for v in raw[kept].tolist()])
    if side["prediction"] is not None:
        predicted = classes(side["prediction"][kept])
    elif task == "binary":
        predicted = np.where(np.isnan(score), np.nan, (score >= 0.5).astype(np.float64))
    else:
        predicted = score
    if task == "regression" and side["prediction"] is None:
        predicted = score
    failed = ~np.isfinite(predicted) if raw is None else ~np.isfinite(score) | ~np.isfinite(predicted)
    latency = side["latency"]
    if latency is not None and side["model"] is None:
        latency = latency[kept]
    times = np.array([]) if latency is None else np.asarray(latency, dtype=np.float64)
    return Answers(side["says"], Side(score, predicted), failed, times[np.isfinite(times)], side["model"])
