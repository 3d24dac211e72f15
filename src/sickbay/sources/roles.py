"""Which column of a prediction log plays which role, and how its values become times, classes and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sickbay.config import Model
from sickbay.errors import TableError, nearest
from sickbay.sources.tables import Opened, literal, quote

if TYPE_CHECKING:
    import duckdb

Kind = Literal["number", "category"]

PLAIN = {
    "__time": "timestamp", "__predicted": "prediction", "__score": "score", "__label": "label",
    "__version": "version", "__arm": "arm", "__status": "status", "__latency": "latency", "__id": "id",
}  # fmt: skip
"""Role in ``rows`` → its name in the site file."""

USUAL_NAMES = {
    "timestamp": ("ts", "timestamp", "event_time", "event_timestamp", "time", "created_at", "scored_at"),
    "prediction": ("prediction", "predicted", "pred", "y_pred"),
    "score": ("score", "probability", "proba", "y_score"),
    "label": ("label", "y_true", "target", "actual", "y"),
    "version": ("model_version", "version"),
    "arm": ("ab_arm", "arm", "variant", "experiment_arm"),
    "status": ("status", "status_code"),
    "latency": ("latency_ms", "latency"),
    "id": ("prediction_id", "request_id", "id"),
}
"""Names taken for a role when the site file sets no columns at all."""

POSITIVE = {"1", "1.0", "true", "t", "yes", "y", "positive", "pos", "fraud", "bad", "default", "churn", "late", "spam"}
NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")  # fmt: skip
EPOCH_UNITS = ((1e17, 1e-3), (1e14, 1.0), (1e11, 1e3), (0.0, 1e6))
"""Largest value of an epoch column above the first → microseconds per unit is the second."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Role → column for the roles that the log has, and what should be said about the others."""

    columns: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Codes:
    """How labels and predictions become numbers: the task, SQL templates over a column, and notes."""

    task: str
    label: str
    prediction: str
    prediction_is_score: bool
    notes: tuple[str, ...] = ()


def assign(settings: Model, columns: Mapping[str, str], key: str) -> Assigned:
    """Return which column plays which role; a named column that the log lacks is noted, and its role stays empty.

    Raises TableError when there is neither a prediction nor a score.
    """
    asked = settings.columns.named()
    if not asked:
        asked = {
            role: name
            for role, names in USUAL_NAMES.items()
            if (name := next((n for n in names if n in columns), "")) and name not in (settings.features or ())
        }
    plain = {role: internal for internal, role in PLAIN.items()}
    found = {plain[role]: column for role, column in asked.items() if column in columns}
    notes = []
    for role, column in asked.items():
        if column not in columns:
            hint = nearest(column, columns)
            notes.append(f"{key}.columns.{role}: the log has no column {column!r}" + (f" ({hint})" if hint else ""))
    if "__predicted" not in found and "__score" not in found:
        missing = asked.get("prediction")
        raise TableError(
            f"{key}.columns.prediction: "
            + (f"the log has no column {missing!r}" if missing else "no column is named as the prediction"),
            hint=(nearest(missing, columns) if missing else "") or f"columns there: {', '.join(list(columns)[:12])}",
        )
    return Assigned(found, tuple(notes))


def features(
    con: duckdb.DuckDBPyConnection,
    settings: Model,
    opened: Opened,
    reference: Opened | None,
    taken: Mapping[str, str],
) -> tuple[dict[str, Kind], dict[str, str]]:
    """Return feature → kind, and column → why it was left out. The reference's type decides where it has the column."""
    known = dict(opened.columns) | (dict(reference.columns) if reference else {})
    named = set(settings.columns.named().values()) | set(taken.values()) | {"__row", *opened.partitions}
    wanted = list(settings.features) if settings.features is not None else [n for n in known if n not in named]
    wanted += [segment for segment in settings.segments if segment not in wanted]
    kinds: dict[str, Kind] = {}
    left_out: dict[str, str] = {}
    for name in wanted:
        if name not in known:
            left_out[name] = "neither the log nor the reference has this column"
            continue
        kind, why = _kind(con, name, opened, reference)
        if kind is None:
            left_out[name] = why
        else:
            kinds[name] = kind
    return kinds, left_out


def _kind(
    con: duckdb.DuckDBPyConnection, name: str, opened: Opened, reference: Opened | None
) -> tuple[Kind | None, str]:
    home = reference if reference is not None and name in reference.columns else opened
    declared = home.columns[name]
    if declared.startswith(NUMERIC) and not declared.endswith("[]"):
        return "number", ""
    if declared in ("VARCHAR", "UUID") or declared.startswith("ENUM"):
        return _text_kind(con, name, home), ""
    if declared.startswith(("TIMESTAMP", "DATE", "TIME", "INTERVAL")):
        return None, f"holds times ({declared})"
    if declared in ('"NULL"', "NULL"):
        return "number", ""
    return None, f"is nested or binary ({declared}): not compared"


def _text_kind(con: duckdb.DuckDBPyConnection, name: str, home: Opened) -> Kind:
    some = f"SELECT {quote(name)} AS v FROM {quote(home.view)} LIMIT 20000"
    filled, numbers = con.execute(f"SELECT count(v), count(TRY_CAST(v AS DOUBLE)) FROM ({some})").fetchall()[0]
    return "number" if filled and numbers >= 0.9 * filled else "category"


def class_codes(
    con: duckdb.DuckDBPyConnection,
    settings: Model,
    found: Assigned,
    opened: Opened,
    reference: Opened | None,
    key: str,
) -> Codes:
    """Return how labels and predictions become 0 and 1 (binary), text (multiclass) or numbers (regression)."""
    if settings.task == "regression":
        number = "CASE WHEN isfinite(TRY_CAST({0} AS DOUBLE)) THEN TRY_CAST({0} AS DOUBLE) END"
        return Codes("regression", number, number, False)
    if settings.task == "multiclass":
        text = (
            "CASE WHEN TRY_CAST({0} AS DOUBLE) IS NOT NULL THEN CAST(TRY_CAST({0} AS DOUBLE) AS VARCHAR) "
            "ELSE CAST({0} AS VARCHAR) END"
        )
        return Codes("multiclass", text, text, False)
    label, predicted = found.columns.get("__label"), found.columns.get("__predicted")
    levels = _levels(con, label, opened, reference)
    predictions = _levels(con, predicted, opened, reference)
    is_score = False
    notes: list[str] = []
    if predictions is None and predicted is not None:
        low, high = _range(con, predicted, opened)
        if low is None or low < -1e-9 or high > 1 + 1e-9:
            raise TableError(
                f"{key}: task is binary, but the prediction column {predicted!r} holds more than two values",
                hint='set task = "multiclass" or "regression", or name the class column as prediction',
            )
        is_score = True
        notes.append(f"{predicted!r} holds scores: 0.5 and above counts as positive")
    if levels is None and label is not None:
        raise TableError(
            f"{key}: task is binary, but the label column {label!r} holds more than two values",
            hint='set task = "multiclass" or "regression"',
        )
    positive = _positive(con, {*(levels or ()), *(predictions or ())}, found, opened)
    code = f"CASE WHEN {{0}} IS NULL THEN NULL WHEN {_as_text('{0}')} = {literal(positive)} THEN 1.0 ELSE 0.0 END"
    number = "CASE WHEN isfinite(TRY_CAST({0} AS DOUBLE)) THEN CAST(TRY_CAST({0} AS DOUBLE) >= 0.5 AS DOUBLE) END"
    return Codes("binary", code, number if is_score else code, is_score, tuple(notes))


def _as_text(column: str) -> str:
    """Return SQL that writes 1, 1.0, true and '1' alike."""
    return (
        f"CASE WHEN TRY_CAST({column} AS DOUBLE) IS NOT NULL THEN CAST(TRY_CAST({column} AS DOUBLE) AS VARCHAR) "
        f"ELSE lower(trim(CAST({column} AS VARCHAR))) END"
    )


def _levels(
    con: duckdb.DuckDBPyConnection, column: str | None, opened: Opened, reference: Opened | None
) -> tuple[str, ...] | None:
    """Return the (at most two) values of a class column, or None when there are more."""
    if column is None:
        return ()
    seen: set[str] = set()
    for table in (opened, reference):
        if table is not None and column in table.columns:
            value = quote(column)
            rows = con.execute(
                f"SELECT DISTINCT {_as_text(value)} FROM {quote(table.view)} WHERE {value} IS NOT NULL "
                f"AND NOT coalesce(isnan(TRY_CAST({value} AS DOUBLE)), false) LIMIT 3"
            ).fetchall()
            seen |= {row[0] for row in rows}
    return None if len(seen) > 2 else tuple(sorted(seen))


def _range(con: duckdb.DuckDBPyConnection, column: str, opened: Opened) -> tuple[Any, Any]:
    value = f"TRY_CAST({quote(column)} AS DOUBLE)"
    row: tuple[Any, Any] = con.execute(
        f"SELECT min({value}), max({value}) FROM {quote(opened.view)} WHERE isfinite({value})"
    ).fetchall()[0]
    return row


def _positive(con: duckdb.DuckDBPyConnection, levels: set[str], found: Assigned, opened: Opened) -> str:
    """Return which level means positive: by name, else the one with the higher mean score, else the greater."""
    for level in sorted(levels):
        if level in POSITIVE:
            return level
    score, predicted = found.columns.get("__score"), found.columns.get("__predicted")
    if len(levels) == 2 and score and predicted:
        rows = con.execute(
            f"SELECT {_as_text(quote(predicted))} AS k, avg(TRY_CAST({quote(score)} AS DOUBLE)) AS m "
            f"FROM {quote(opened.view)} WHERE {quote(predicted)} IS NOT NULL GROUP BY k ORDER BY m DESC NULLS LAST, k"
        ).fetchall()
        if rows and rows[0][1] is not None:
            return str(rows[0][0])
    return max(levels, key=_sort_key) if levels else "1.0"


def _sort_key(level: str) -> tuple[float, str]:
    try:
        return float(level), level
    except ValueError:
        return 0.0, level


def expressions(
    con: duckdb.DuckDBPyConnection, opened: Opened, columns: Mapping[str, str], codes: Codes
) -> dict[str, str]:
    """Return role → SQL over the raw table, for the roles in ``columns``."""
    here = {role: column for role, column in columns.items() if column in opened.columns}
    result: dict[str, str] = {}
    if "__time" in here:
        result["__time"] = time_of(con, opened, here)
    if "__predicted" in here:
        result["__predicted"] = codes.prediction.format(quote(here["__predicted"]))
    score = here.get("__score") or (here.get("__predicted") if codes.prediction_is_score else None)
    if score:
        value = f"TRY_CAST({quote(score)} AS DOUBLE)"
        result["__score"] = f"CASE WHEN isfinite({value}) THEN {value} END"
        if "__predicted" not in here:
            result["__predicted"] = f"CASE WHEN isfinite({value}) THEN CAST({value} >= 0.5 AS DOUBLE) END"
    if "__label" in here:
        result["__label"] = codes.label.format(quote(here["__label"]))
    for role in ("__version", "__arm", "__status", "__id"):
        if role in here:
            result[role] = f"CAST({quote(here[role])} AS VARCHAR)"
    if "__latency" in here:
        value = f"TRY_CAST({quote(here['__latency'])} AS DOUBLE)"
        result["__latency"] = f"CASE WHEN isfinite({value}) THEN {value} END"
    return result


def time_of(con: duckdb.DuckDBPyConnection, opened: Opened, columns: Mapping[str, str]) -> str:
    """Return SQL for the instant in UTC; zoneless times are taken as UTC, epoch units are told by their size."""
    column = columns.get("__time")
    if column is None or column not in opened.columns:
        return "NULL::TIMESTAMP"
    declared = opened.columns[column]
    if declared.startswith("TIMESTAMP") or declared == "DATE":
        return f"CAST({quote(column)} AS TIMESTAMP)"
    if declared.startswith(NUMERIC):
        largest = con.execute(f"SELECT max(abs({quote(column)})) FROM {quote(opened.view)}").fetchall()[0][0] or 0
        unit = next(factor for bound, factor in EPOCH_UNITS if largest > bound or bound == 0.0)
        return f"make_timestamp(CAST({quote(column)} * {unit!r} AS BIGINT))"
    return f"CAST(TRY_CAST({quote(column)} AS TIMESTAMPTZ) AS TIMESTAMP)"


def loss_of(task: str, roles: set[str]) -> str:
    """Return SQL for the loss of a row: 0/1 error of a classifier, absolute error of a regression."""
    if not {"__label", "__predicted"} <= roles:
        return "NULL::DOUBLE"
    if task == "multiclass":
        return "CAST(__label <> __predicted AS DOUBLE)"
    return "abs(__label - __predicted)"


def usable(con: duckdb.DuckDBPyConnection, view: str, task: str) -> frozenset[str]:
    """Return the roles that hold at least one value in the view."""
    columns = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {quote(view)}").fetchall()]
    roles = [name for name in columns if name in PLAIN or name == "__loss"]
    if not roles:
        return frozenset()
    counts = con.execute(f"SELECT {', '.join(f'count({name})' for name in roles)} FROM {quote(view)}").fetchall()[0]
    return frozenset(name for name, count in zip(roles, counts, strict=True) if count)
