"""An investigation from files to diagnosis, beside a raw DuckDB scan of the same files: seconds, CPU, peak memory.

    python benchmarks/investigate.py [--rows 1000000 10000000] [--repeats 3]

Each side (log and reference) has 20 feature columns (14 numbers, 6 categories with up to 1,000 levels, 1 % nulls). The
log has a break in its last quarter, so that the whole path is walked. Every figure is of a process of its own.
Owed (ISSUE of part 1): 1 million rows a side under 15 s and 1 GB, 10 million under 90 s and 1.5 GB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measure import timed, versions

SITE = """
[system]
name = "benchmark"
[model.m]
predictions = "log.parquet"
reference = "reference.parquet"
segments = ["k0", "k1"]
[model.m.columns]
timestamp = "ts"
prediction = "prediction"
score = "score"
label = "label"
version = "version"
status = "status"
latency = "latency_ms"
"""
LEVELS = (4, 8, 12, 40, 200, 1000)
SCAN = """
import duckdb, sys
con = duckdb.connect(config={'memory_limit': '700MB'})
for name in ('log', 'reference'):
    path = f'{sys.argv[1]}/{name}.parquet'
    columns = [r[0] for r in con.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    parts = ', '.join(f'min("{c}"), max("{c}"), count("{c}")' for c in columns)
    con.execute(f"SELECT {parts} FROM '{path}'").fetchall()
"""


def draw(seed: int) -> str:
    """Return SQL for a deterministic uniform draw of row i."""
    return f"(hash(i * 31 + {seed}) / 18446744073709551615.0)"


def number(seed: int, k: int, late: str) -> str:
    """Return SQL for a numeric column with 1 % nulls; the first changes its unit where ``late`` holds."""
    scale = f"{k + 1}" + (f" * CASE WHEN {late} THEN 100 ELSE 1 END" if k == 0 else "")
    value = f"({draw(seed + 50 + k)} + {draw(seed + 90 + k)} - 1) * {scale}"
    kind = "FLOAT" if k % 3 == 1 else "DOUBLE"
    return f"CASE WHEN {draw(seed + k)} < 0.01 THEN NULL ELSE ({value})::{kind} END AS f{k}"


def write(directory: Path, rows: int) -> None:
    """Write log.parquet, reference.parquet and the site file."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(directory)})
    step = max(1, 30 * 86_400_000 // rows)
    for name, seed in (("reference", 1000), ("log", 0)):
        late = f"i > {rows} * 0.75" if name == "log" else "false"
        numbers = [number(seed, k, late) for k in range(14)]
        words = [f"'c' || floor(power({draw(seed + 130 + k)}, 3) * {n})::INT AS k{k}" for k, n in enumerate(LEVELS)]
        score = draw(seed + 200)
        error = f"CASE WHEN {late} THEN 0.2 ELSE 0.06 END"
        con.execute(
            f"COPY (SELECT TIMESTAMP '2026-01-01' + INTERVAL (i * {step}) MILLISECOND AS ts, {', '.join(numbers)}, "
            f"{', '.join(words)}, s AS score, (s > 0.5)::INT AS prediction, "
            f"CASE WHEN {draw(seed + 201)} < {error} THEN (s <= 0.5)::INT ELSE (s > 0.5)::INT END AS label, "
            f"'ok' AS status, 20 + 10 * {draw(seed + 202)} AS latency_ms, 'v1' AS version "
            f"FROM (SELECT range AS i, {score.replace('i *', 'range *')} AS s FROM range({rows}))) "
            f"TO '{directory}/{name}.parquet' (ROW_GROUP_SIZE 122880)"
        )
    (directory / "sickbay.toml").write_text(SITE, encoding="utf-8")
    con.close()


def main() -> int:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(versions("sickbay", "duckdb", "scikit-learn", "numpy"))
    print(f"{'rows a side':>12} {'what':>12} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'CPU / scan':>11}")
    for rows in given.rows:
        with tempfile.TemporaryDirectory(prefix="sickbay-benchmark-") as spool:
            directory = Path(spool)
            write(directory, rows)
            investigate = [sys.executable, "-m", "sickbay", "investigate", "model-degradation", "--json", "--quiet"]
            investigate += ["--site", str(directory / "sickbay.toml")]
            scan = [sys.executable, "-c", SCAN, spool]
            pairs = [(timed(scan), timed(investigate)) for _ in range(given.repeats)]
            for name, side in (("raw scan", 0), ("investigate", 1)):
                wall, cpu, peak = (statistics.median(pair[side][k] for pair in pairs) for k in range(3))
                ratio = statistics.median(pair[side][1] / pair[0][1] for pair in pairs)
                print(f"{rows:>12,} {name:>12} {wall:8.1f} {cpu:8.1f} {peak:8.0f} {ratio:11.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
