"""Drift over all columns of a Parquet table, beside a raw scan of the same files and beside other tools.

    python benchmarks/drift.py [--rows 1000000 5000000 10000000 50000000] [--repeats 3] [--only raw,sickbay,peers]

20 columns: 14 numbers, 6 categories with up to 1,000 levels, 1 % nulls; reference and current, in files of their own;
the current side has two columns that moved. Every figure is of a process of its own, start included.
Owed: the current side with a saved profile at most 2.0 times the CPU of the raw scan of that side; both sides from
nothing at most 4 times the CPU of one raw scan; memory flat and at most 1 GB.

Other tools run in environments of their own (benchmarks/peers/NAME.txt), made on first use with uv or venv and pip
below --environments. One that cannot be installed or run is named with the reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from investigate import LEVELS, draw, number
from measure import timed, versions

HERE = Path(__file__).resolve().parent
PEERS = ("evidently", "whylogs", "nannyml", "deepchecks", "frouros", "alibi-detect")
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
"""Keeps the peers from calling home."""
SCAN = """
import duckdb, sys
con = duckdb.connect(config={'memory_limit': '700MB'})
for path in sys.argv[1:]:
    columns = [r[0] for r in con.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    # beside a count, minima and maxima are read from the values; alone, they would come from the file's statistics
    parts = ', '.join(f'min("{c}"), max("{c}"), count("{c}")' for c in columns)
    con.execute(f"SELECT {parts} FROM '{path}'").fetchall()
"""


def write(directory: Path, rows: int) -> None:
    """Write reference.parquet and current.parquet; in the current one f0 moves and k1 gets rarer levels."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(directory)})
    for name, seed in (("reference", 1000), ("current", 0)):
        numbers = [number(seed, k, "false") for k in range(14)]
        words = [
            f"CASE WHEN {draw(seed + 300 + k)} < 0.01 THEN NULL "
            f"ELSE 'c' || floor(power({draw(seed + 130 + k)}, {power(k, seed)}) * {n})::INT END AS k{k}"
            for k, n in enumerate(LEVELS)
        ]
        if not seed:
            numbers[0] = numbers[0].replace(" AS f0", " + 0.3 AS f0")
        columns = ", ".join([*numbers, *words])
        con.execute(
            f"COPY (SELECT {columns} FROM (SELECT range AS i FROM range({rows}))) "
            f"TO '{directory}/{name}.parquet' (ROW_GROUP_SIZE 122880)"
        )
    con.close()


def power(k: int, seed: int) -> int:
    """Return how steeply the levels of category k fall off; one of the current side's has moved."""
    return 2 if k == 1 and not seed else 3


def commands(directory: Path) -> dict[str, list[str]]:
    """Return what is measured of sickbay and the raw scan, by name."""
    names = ("reference.parquet", "current.parquet", "r.profile")
    reference, current, saved = (str(directory / name) for name in names)
    sickbay = [sys.executable, "-m", "sickbay"]
    return {
        "raw scan, one side": [sys.executable, "-c", SCAN, current],
        "raw scan, both sides": [sys.executable, "-c", SCAN, reference, current],
        "sickbay profile": [*sickbay, "profile", reference, "-o", saved],
        "sickbay drift, saved profile": [*sickbay, "drift", "--reference", saved, "--current", current, "--json"],
        "sickbay drift, from nothing": [*sickbay, "drift", "--reference", reference, "--current", current, "--json"],
    }


def environment(name: str, home: Path) -> Path:
    """Return the Python of a peer's own environment, made if it is not there."""
    place = home / name
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        listed = HERE / "peers" / f"{name}.txt"
        shutil.rmtree(place, ignore_errors=True)
        uv = shutil.which("uv")
        make = [sys.executable, "-m", "venv", str(place)]
        install = [str(python), "-m", "pip", "install", "-q"]
        if uv:
            make = [uv, "venv", "-q", "--python", sys.executable, str(place)]
            install = [uv, "pip", "install", "-q", "--python", str(python)]
        subprocess.run(make, check=True, capture_output=True)
        subprocess.run([*install, "-r", str(listed)], check=True, capture_output=True)
        (place / "ready").touch()
    return python


def peer(name: str, home: Path, directory: Path, limit: float) -> tuple[float, float, float]:
    """Run one peer; raise RuntimeError with the reason when it cannot be had or does not finish."""
    try:
        python = environment(name, home)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"cannot be installed: {error.stderr.decode()[-200:]}") from None
    script = HERE / "peers" / f"with_{name.replace('-', '_')}.py"
    files = [str(directory / "reference.parquet"), str(directory / "current.parquet")]
    command = [str(python), "-W", "ignore", str(script), *files]
    try:
        return timed(["timeout", str(limit), *command], os.environ | QUIET)
    except SystemExit as error:
        raise RuntimeError(str(error)[-160:].replace("\n", " ")) from None


def main() -> int:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="raw,sickbay,peers", help="raw, sickbay, peers, or names of peers")
    parser.add_argument("--peers-up-to", type=int, default=1_000_000, help="largest size the peers are given")
    parser.add_argument("--limit", type=float, default=900, help="seconds a peer may take")
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".benchmarks" / "peers")
    parser.add_argument("--spool", type=Path, default=None)
    given = parser.parse_args()
    wanted = set(given.only.split(","))
    print(versions("sickbay", "duckdb", "numpy", "sqlglot"))
    print(f"{'rows a side':>12} {'what':>30} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'CPU / one raw scan':>19}")
    for rows in given.rows:
        with tempfile.TemporaryDirectory(prefix="sickbay-benchmark-", dir=given.spool) as spool:
            directory = Path(spool)
            write(directory, rows)
            measured = commands(directory)
            runs = [{name: timed(command) for name, command in measured.items()} for _ in range(given.repeats)]
            for name in measured:
                wall, cpu, peak = (statistics.median(run[name][k] for run in runs) for k in range(3))
                ratio = statistics.median(run[name][1] / run["raw scan, one side"][1] for run in runs)
                print(f"{rows:>12,} {name:>30} {wall:8.1f} {cpu:8.2f} {peak:8.0f} {ratio:19.2f}", flush=True)
            ours = statistics.median(run["sickbay drift, saved profile"][1] for run in runs)
            both = statistics.median(run["sickbay drift, from nothing"][1] for run in runs)
            for name in PEERS if rows <= given.peers_up_to else ():
                if not wanted & {name, "peers"}:
                    continue
                try:
                    wall, cpu, peak = peer(name, given.environments, directory, given.limit)
                except RuntimeError as error:
                    print(f"{rows:>12,} {name:>30} {error}", flush=True)
                    continue
                times = f"{cpu / ours:.0f} × sickbay (saved), {cpu / both:.0f} × (from nothing)"
                print(f"{rows:>12,} {name:>30} {wall:8.1f} {cpu:8.2f} {peak:8.0f} {times:>19}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
