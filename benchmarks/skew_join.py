"""Two sides of 20 features compared from Parquet, beside a raw scan of both, Polars and datacompy; and as-of joins.

    python benchmarks/skew_join.py [--rows 1000000 10000000] [--as-of 1000000] [--only raw,sickbay,peers]

20 features (12 numbers, 4 whole numbers, 4 words), the online rows in another order; one feature of 20 differs in 10 %
of the rows. Every figure is of a process of its own, start included. Owed: at most 3 times the CPU of the raw scan of
both sides, at most 4 GB, and 50 million rows without failing. As-of: events against feature rows of the same number,
beside pandas' merge_asof.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from drift import environment
from measure import timed, versions

HERE = Path(__file__).resolve().parent
PEERS = ("polars", "datacompy")
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


def write(directory: Path, rows: int) -> None:
    """Write offline.parquet and online.parquet; f3 is rounded in a tenth of the online rows."""
    import duckdb

    con = duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(directory)})

    def draw(k: int) -> str:
        return f"(hash(i + {k} * 1000003)::DOUBLE / 18446744073709551615)"

    for side in ("offline", "online"):
        numbers = [f"{draw(k)} * 1000 AS f{k}" for k in range(12)]
        if side == "online":
            numbers[3] = f"CASE WHEN i % 10 = 0 THEN round({draw(3)} * 1000, 1) ELSE {draw(3)} * 1000 END AS f3"
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


def line(rows: int, what: str, measured: tuple[float, float, float], scan: float | None) -> None:
    ratio = f"{measured[1] / scan:.2f}" if scan else "–"
    print(f"{rows:>12,} {what:>34} {measured[0]:8.1f} {measured[1]:8.2f} {measured[2]:8.0f} {ratio:>14}", flush=True)


def main() -> int:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--as-of", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--only", default="raw,sickbay,peers")
    parser.add_argument("--peers-up-to", type=int, default=10_000_000)
    parser.add_argument("--limit", type=float, default=900)
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".benchmarks" / "peers")
    parser.add_argument("--spool", type=Path, default=None)
    given = parser.parse_args()
    wanted = set(given.only.split(","))
    print(versions("sickbay", "duckdb", "numpy", "sqlglot"))
    print(f"{'rows a side':>12} {'what':>34} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'CPU / raw scan':>14}")
    for rows in given.rows:
        with tempfile.TemporaryDirectory(prefix="sickbay-benchmark-", dir=given.spool) as spool:
            directory = Path(spool)
            write(directory, rows)
            files = [str(directory / f"{side}.parquet") for side in ("offline", "online")]
            scan = timed([sys.executable, "-c", SCAN, *files])
            line(rows, "raw scan of both sides", scan, scan[1])
            door = [sys.executable, "-m", "sickbay", "skew", "--keys", "id", "--json"]
            line(rows, "sickbay skew", timed([*door, "--offline", files[0], "--online", files[1]]), scan[1])
            for name in PEERS if "peers" in wanted and rows <= given.peers_up_to else ():
                try:
                    python = str(environment(name, given.environments))
                    command = ["timeout", str(given.limit), python, str(HERE / "peers" / f"with_{name}.py"), *files]
                    line(rows, name, timed(command), scan[1])
                except (SystemExit, RuntimeError) as error:
                    print(f"{rows:>12,} {name:>34} {str(error)[-120:]!r}", flush=True)
    for rows in given.as_of:
        with tempfile.TemporaryDirectory(prefix="sickbay-benchmark-", dir=given.spool) as spool:
            directory = Path(spool)
            write_as_of(directory, rows)
            files = [str(directory / f"{side}.parquet") for side in ("offline", "online")]
            scan = timed([sys.executable, "-c", SCAN, *files])
            line(rows, "as of: raw scan", scan, scan[1])
            door = [
                sys.executable,
                "-m",
                "sickbay",
                "skew",
                "--keys",
                "id",
                "--time",
                "ts",
                "--online-time",
                "ts",
                "--json",
            ]
            line(rows, "as of: sickbay skew", timed([*door, "--offline", files[0], "--online", files[1]]), scan[1])
            peer = [sys.executable, "-W", "ignore", str(HERE / "peers" / "with_merge_asof.py"), *files]
            if "peers" in wanted:
                line(rows, "as of: pandas merge_asof", timed(peer), scan[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
