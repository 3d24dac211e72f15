"""Writes what a scoring system leaves behind: the partitioned prediction log, the reference, the site file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sickbay.lab.systems.batch import Array, Batch, Floats
from sickbay.lab.systems.scoring import ScoringSystem, Settings

USUAL = {
    "timestamp": "ts", "prediction": "prediction", "score": "score", "label": "label", "version": "model_version",
    "arm": "ab_arm", "status": "status", "latency": "latency_ms",
}  # fmt: skip


def write(directory: Path, system: ScoringSystem, batch: Batch) -> None:
    """Write log, reference and site file into the directory, replacing what stands there under these names."""
    names = USUAL | dict(system.settings.names)
    columns = _columns(system, batch, names)
    shutil.rmtree(directory / "predictions", ignore_errors=True)
    _parquet(columns, directory / "predictions", partition=names["timestamp"])
    if system.settings.with_reference:
        part = system.reference
        reference = dict(part.columns) | {
            names["timestamp"]: part.time,
            names["score"]: part.score,
            names["prediction"]: part.prediction.astype(np.int64),
            names["label"]: part.label.astype(np.int64),
        }
        _parquet(reference, directory / "reference.parquet")
    (directory / "sickbay.toml").write_text(site_text(system, names), encoding="utf-8")


def site_text(system: ScoringSystem, names: Mapping[str, str]) -> str:
    """Return the site file of a system."""
    s = system.settings
    roles = {role: name for role, name in names.items() if _present(role, s)}
    columns = ", ".join(f'{role} = "{name}"' for role, name in roles.items())
    features = ", ".join(f'"{name}"' for name in sorted(system.history.columns))
    lines = [
        "[system]",
        f'name = "{system.world.name}-scoring"',
        "",
        f"[model.{system.world.name}]",
        'task        = "binary"',
        'predictions = "predictions/*/*.parquet"',
    ]
    if s.with_reference:
        lines.append('reference   = "reference.parquet"')
    lines += [f"columns     = {{ {columns} }}", f"features    = [{features}]"]
    if s.with_segments:
        lines.append("segments    = [" + ", ".join(f'"{name}"' for name in system.world.segments) + "]")
    return "\n".join(lines) + "\n"


def _columns(system: ScoringSystem, batch: Batch, names: Mapping[str, str]) -> dict[str, Array]:
    s = system.settings
    values: dict[str, Array] = {
        "timestamp": batch.time,
        "prediction": _whole(batch.prediction),
        "score": np.ma.masked_invalid(batch.score),
        "label": _whole(batch.seen_label),
        "version": batch.version,
        "arm": batch.arm,
        "status": batch.status,
        "latency": np.round(batch.latency, 1),
    }
    return dict(batch.columns) | {names[role]: v for role, v in values.items() if _present(role, s)}


def _whole(values: Floats) -> Array:
    """Return whole numbers with the NaN masked (a null in the file)."""
    return np.ma.array(np.nan_to_num(values).astype(np.int64), mask=np.isnan(values))


def _present(role: str, s: Settings) -> bool:
    if role == "arm":
        return s.challenger_share > 0
    return {"status": s.with_status, "latency": s.with_latency, "version": s.with_version}.get(role, True)


def _parquet(columns: Mapping[str, Array], target: Path, *, partition: str = "") -> None:
    import duckdb

    con = duckdb.connect(":memory:", config={"threads": 1})
    try:
        con.register("made", dict(columns))
        out = "'" + str(target).replace("'", "''") + "'"
        if partition:
            con.execute(
                f'COPY (SELECT *, CAST("{partition}" AS DATE) AS date FROM made ORDER BY "{partition}") '
                f"TO {out} (FORMAT PARQUET, PARTITION_BY (date), OVERWRITE_OR_IGNORE)"
            )
        else:
            con.execute(f"COPY made TO {out} (FORMAT PARQUET)")
    finally:
        con.close()
