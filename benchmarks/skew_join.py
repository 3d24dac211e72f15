"""Two sides of 20 features compared from Parquet, beside a raw scan of both, Polars and datacompy; and as-of joins.

    python benchmarks/skew_join.py [--rows 1000000 10000000] [--differing one rare most] [--as-of 100000 1000000]
        [--explained 1 20] [--repeats 3]

20 features (12 numbers, 4 whole numbers, 4 words), the online rows in another order; one feature of 20 differs in 10 %
of the rows. Every figure is of a process of its own, start included, and the median of the repeats, each beside a raw
scan of its own. Owed: at most 3 times the CPU of the raw scan of both sides, at most 4 GB, and 50 million rows without
failing. As-of: events against feature rows of the same number, beside pandas' merge_asof and, up to --feast-up-to,
Feast's get_historical_features. Explained: so many features that all differ, 1 million pairs; owed: one within 2 s, 20
within 30 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from drift import environment
from measure import timed, versions

HERE = Path(__file__).resolve().parent
PEERS = ("polars", "datacompy")
DIFFERING = {"one": "1 of 20 differs", "rare": "1 of 20 differs, in 25 rows", "most": "11 of 20 differ"}
PAIRS = 1_000_000
"""Pairs of the features that are to be explained."""
RULES = ("round({0}, 1)", "{0} * 100", "{0} + 5", "least({0}, 900)", "-{0}")
"""What is done to a tenth of the online values of a feature that is to be explained, one by one."""
SCAN = """
import duckdb, sys
con = duckdb.connect(config={'memory_limit': '700MB'})
for path in sys.argv[1:]:
    columns = [(r[0], r[1]) for r in con.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    # sums, for minima and counts would be answered from the file's own statistics without reading a value
    parts = [f'sum(length("{c}"))' if t == 'VARCHAR' else f'count("{c}" + INTERVAL 1 SECOND)' if 'TIME' in t
             else f'sum("{c}")' for c, t in columns]
    con.execute(f"SELECT {', '.join(parts)} FROM '{path}'").fetchall()
"""


def write(directory: Path, rows: int, differing: str = "one") -> None:
    """Write offline.parquet and online.parquet; numbers are rounded in online rows.

    ``differing``: ``one``: f3 in a tenth of the rows; ``rare``: f3 in 25 rows; ``most``: 11 of 20 in a tenth.
    """
    import duckdb

    con = duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(directory)})

    def draw(k: int) -> str:
        return f"(hash(i + {k} * 1000003)::DOUBLE / 18446744073709551615)"

    for side in ("offline", "online"):
        numbers = [f"{draw(k)} * 1000 AS f{k}" for k in range(12)]
        if side == "online":
            every = max(1, rows // 25) if differing == "rare" else 10
            for k in range(11) if differing == "most" else (3,):
                rounded = f"round({draw(k)} * 1000, 1)"
                numbers[k] = f"CASE WHEN i % {every} = {every - 1} THEN {rounded} ELSE {draw(k)} * 1000 END AS f{k}"
        whole = [f"({draw(20 + k)} * 1000)::INT AS n{k}" for k in range(4)]
        words = [f"'w' || ({draw(30 + k)} * 1000)::INT AS k{k}" for k in range(4)]
        order = "i" if side == "offline" else f"(i * 7919) % {rows}"
        select = f"SELECT {order} AS i FROM (SELECT range AS i FROM range({rows}))"
        con.execute(
            f"COPY (SELECT i AS id, {', '.join(numbers + whole + words)} FROM ({select})) "
            f"TO '{directory}/{side}.parquet' (ROW_GROUP_SIZE 122880)"
        )
    con.close()


def write_as_of(directory: Path, rows: int) -> None:
    """Write offline.parquet (feature rows) and online.parquet (events): 100,000 entities over 30 days."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(directory)})
    for side, seed in (("offline", 1), ("online", 2)):
        con.execute(
            f"COPY (SELECT (hash(i * 2 + {seed}) % 100000)::BIGINT AS id, TIMESTAMP '2026-01-01' + "
            f"to_microseconds((hash(i * 3 + {seed}) % 2592000000)::BIGINT * 1000 + i % 1000) AS ts, "
            f"(hash(i * 5 + {seed}) % 1000)::DOUBLE AS x FROM (SELECT range AS i FROM range({rows}))) "
            f"TO '{directory}/{side}.parquet'"
        )
    con.close()


def write_differing(directory: Path, features: int) -> None:
    """Write offline.parquet and online.parquet: features that all differ in a tenth of the rows, by one rule each."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(directory)})
    columns = {"offline": [], "online": []}
    for k in range(features):
        value = f"(hash(i + {k} * 1000003)::DOUBLE / 18446744073709551615 * 1000)"
        columns["offline"].append(f"{value} AS f{k}")
        altered = RULES[k % len(RULES)].format(value)
        columns["online"].append(f"CASE WHEN (i + {k}) % 10 = 0 THEN {altered} ELSE {value} END AS f{k}")
    for side, made in columns.items():
        con.execute(
            f"COPY (SELECT i AS id, {', '.join(made)} FROM (SELECT range AS i FROM range({PAIRS}))) "
            f"TO '{directory}/{side}.parquet'"
        )
    con.close()


Measured = tuple[float, float, float]


def line(rows: int, what: str, runs: Sequence[Measured], scans: Sequence[Measured]) -> None:
    """Print wall, CPU and peak as medians, and the CPU over that of the raw scan of the same round."""
    wall, cpu, peak = (statistics.median(run[k] for run in runs) for k in range(3))
    ratio = statistics.median(run[1] / scan[1] for run, scan in zip(runs, scans, strict=False))
    print(f"{rows:>12,} {what:>34} {wall:8.1f} {cpu:8.2f} {peak:8.0f} {ratio:14.2f}", flush=True)


def measure(
    rows: int, directory: Path, door: list[str], peers: dict[str, list[str]], given: argparse.Namespace
) -> None:
    """Measure one pair of files: raw scan and sickbay in turn, then each peer once."""
    files = [str(directory / f"{side}.parquet") for side in ("offline", "online")]
    command = [sys.executable, "-m", "sickbay", "skew", *door, "--json", "--offline", files[0], "--online", files[1]]
    scans, runs = [], []
    for _ in range(given.repeats):
        scans.append(timed([sys.executable, "-c", SCAN, *files]))
        runs.append(timed(command))
    line(rows, "raw scan of both sides", scans, scans)
    line(rows, "sickbay skew", runs, scans)
    # so that a peer that holds everything in memory fails alone
    bounded = f'ulimit -v {given.memory * 1024**2} && exec timeout {given.limit} "$@"'
    bounds = ["sh", "-c", bounded, "sh"]
    for name in peers:
        try:
            line(rows, name, [timed([*bounds, *peer(name, given), *files])], scans[-1:])
        except (SystemExit, subprocess.CalledProcessError) as error:
            print(f"{rows:>12,} {name:>34} {str(error)[-120:]!r}", flush=True)


def peer(name: str, given: argparse.Namespace) -> list[str]:
    """Return the command of a peer in its own environment; pandas is in this one."""
    python = sys.executable if name == "merge_asof" else str(environment(name, given.environments))
    return [python, "-W", "ignore", str(HERE / "peers" / f"with_{name}.py")]


def main() -> int:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--differing", nargs="*", choices=list(DIFFERING), default=["one"])
    parser.add_argument("--as-of", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--explained", type=int, nargs="*", default=[1, 20])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="sickbay,peers")
    parser.add_argument("--peers-up-to", type=int, default=10_000_000)
    parser.add_argument("--feast-up-to", type=int, default=1_000_000)
    parser.add_argument("--limit", type=float, default=900, help="seconds a peer may take")
    parser.add_argument("--memory", type=int, default=14, help="GB of addresses that a peer may have")
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".benchmarks" / "peers")
    parser.add_argument("--spool", type=Path, default=None)
    given = parser.parse_args()
    given.environments = given.environments.resolve()
    beside = "peers" in given.only.split(",")
    print(versions("sickbay", "duckdb", "numpy", "sqlglot"))
    print(f"{'rows a side':>12} {'what':>34} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'CPU / raw scan':>14}")

    def spool() -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="sickbay-benchmark-", dir=given.spool)

    for rows in given.rows:
        for differing in given.differing:
            with spool() as directory:
                print(f"{'':>12} {DIFFERING[differing]}", flush=True)
                write(Path(directory), rows, differing)
                peers = PEERS if beside and differing == "one" and rows <= given.peers_up_to else ()
                measure(rows, Path(directory), ["--keys", "id"], peers, given)
    for rows in given.as_of:
        with spool() as directory:
            print(f"{'':>12} as of", flush=True)
            write_as_of(Path(directory), rows)
            peers = ("merge_asof", "feast") if rows <= given.feast_up_to else ("merge_asof",)
            door = ["--keys", "id", "--time", "ts", "--online-time", "ts"]
            measure(rows, Path(directory), door, peers if beside else (), given)
    for features in given.explained:
        with spool() as directory:
            print(f"{'':>12} explained: {features} features that differ", flush=True)
            write_differing(Path(directory), features)
            measure(PAIRS, Path(directory), ["--keys", "id"], (), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
