"""Named cases for probes that read a prediction log: a small table in SQL, and what each finding must be.

A case file ``<module>.<function>.toml`` holds a list of ``[[case]]``:

    name   = "half the amounts are gone"
    set    = { amount = "CASE WHEN late THEN NULL ELSE amount END" }   # in place of healthy columns
    drop   = ["label"]                                                 # columns that the log does not have
    rows   = 4000
    model  = { segments = ["country"] }                                # keys of [model.*] in the site file
    on      = ["features.values_broken"]
    off     = []
    unknown = []

The healthy table has 30 days of rows; ``late`` marks the last 30 %. Draws are hashes of row numbers: no chance.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.sources.tables import connection, literal, quote

ROWS = 5000


def draw(seed: int) -> str:
    """Return SQL for a uniform draw (0…1) of row ``i``."""
    return f"(hash(i * 7919 + {seed}) / 18446744073709551615.0)"


def normal(seed: int) -> str:
    """Return SQL for a standard normal draw of row ``i`` (Box and Muller)."""
    return f"(sqrt(-2 * ln(greatest({draw(seed)}, 1e-12))) * cos(2 * pi() * {draw(seed + 1)}))"


LAYERS: tuple[Mapping[str, str], ...] = (
    {
        "late": "i >= n * 0.7",
        "x": normal(1),
        "y": normal(3),
        "e": normal(5),
        "u": draw(7),
        "v": draw(8),
        "w": draw(9),
        "country": "CASE WHEN u < 0.45 THEN 'DE' WHEN u < 0.8 THEN 'FR' ELSE 'PL' END",
        "channel": "CASE WHEN v < 0.6 THEN 'app' ELSE 'web' END",
    },
    {"z": f"0.8 * x + 0.6 * {normal(11)}", "amount": "round(exp(3 + 0.7 * y), 2)", "noise": "round(e, 4)"},
    {"logit": "2.5 * x - 2 * (ln(amount) - 3) - 0.8"},
    {"score": "round(1 / (1 + exp(-logit)), 6)", "truth": f"{draw(13)} < 1 / (1 + exp(-2 * logit))"},
    {
        "prediction": "(score >= 0.5)::INT",
        "label": "truth::INT",
        "model_version": "'v1'",
        "ab_arm": f"CASE WHEN {draw(15)} < 0.4 THEN 'b' ELSE 'a' END",
        "status": f"CASE WHEN {draw(16)} < 0.002 THEN 'error' ELSE 'ok' END",
        "latency_ms": f"20 + 10 * {draw(17)}",
        "ts": "TIMESTAMP '2026-01-05' + to_seconds(CAST(i * (30 * 86400.0 / n) AS BIGINT))",
    },
)
"""Columns of the healthy table; a layer may use the columns of the layers before it."""

FEATURES = ("x", "y", "z", "amount", "noise", "country", "channel")
ROLES = {
    "timestamp": "ts", "prediction": "prediction", "score": "score", "label": "label", "version": "model_version",
    "arm": "ab_arm", "status": "status", "latency": "latency_ms",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One named case of one probe."""

    probe: str
    name: str
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    set: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    rows: int = ROWS
    model: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.probe}: {self.name}"


def read(file: Path) -> list[Case]:
    """Return the cases of a file; the probe is the file's name. Raises TypeError for a key that cases do not have."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    cases = []
    for entry in document["case"]:
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
        cases.append(Case(file.stem, **values))
    return cases


def write_tables(case: Case, directory: Path) -> dict[str, Any]:
    """Write the log and the reference of a case as Parquet and return the site that names them."""
    for name, changes in (("log", case.set), ("reference", {})):
        _write(directory / f"{name}.parquet", case.rows, changes, case.drop if name == "log" else ())
    columns = {role: column for role, column in ROLES.items() if column not in case.drop}
    features = [name for name in FEATURES if name not in case.drop]
    model = {"predictions": str(directory / "log.parquet"), "columns": columns, "features": features} | dict(case.model)
    if model.get("reference") == "yes":
        model["reference"] = str(directory / "reference.parquet")
    return {"system": {"name": "case"}, "model": {"m": model}}


def _write(path: Path, rows: int, changes: Mapping[str, str], drop: tuple[str, ...]) -> None:
    unused = dict(changes)
    source = f"SELECT range AS i, {rows} AS n FROM range({rows})"
    for layer in LAYERS:
        columns = ", ".join(f"{sql} AS {quote(name)}" for name, sql in layer.items())
        source = f"SELECT *, {columns} FROM ({source})"
        replaced = {name: unused.pop(name) for name in layer if name in unused}
        if replaced:
            source = (
                f"SELECT * REPLACE ({', '.join(f'{sql} AS {quote(n)}' for n, sql in replaced.items())}) FROM ({source})"
            )
    if unused:
        raise KeyError(f"a case sets columns that the healthy table does not have: {', '.join(unused)}")
    kept = [name for name in (*FEATURES, *ROLES.values()) if name not in drop]
    con = connection()
    try:
        con.execute(
            f"COPY (SELECT {', '.join(quote(name) for name in kept)} FROM ({source}) ORDER BY i) "
            f"TO {literal(str(path))} (FORMAT PARQUET)"
        )
    finally:
        con.close()
