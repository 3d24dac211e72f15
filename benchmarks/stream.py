"""A stream's speed and memory, the cost of logging a prediction, false alarms, and how soon a change is told.

    python benchmarks/stream.py [--months 1000] [--values 100000000]

Speed is per core, in CPU seconds of this process, beside numpy passes over the same batches (the limit). False alarms
are simulated months without change: counts drawn from the reference's own distribution, decided by the product's code.
Delays are rows until the first alarm after a shift of the mean that gives the PSI named, median of 20 streams, beside
river's detectors and NannyML's (in an environment of its own) with their defaults; a detector that had already alarmed
before the change counts as "false before".
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from drift import HERE, QUIET, environment
from measure import versions
from scipy.optimize import brentq
from scipy.stats import norm

from sickbay.monitor import PredictionLogger, Rule, Stream, log_predictions
from sickbay.monitor.comparing import profile
from sickbay.monitor.windows import WindowDetector

COLUMNS = [f"x{i}" for i in range(20)]
BATCH = 10_000


def cpu(function, times: int) -> float:
    """Return CPU seconds per call."""
    began = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - began) / times


def speed(reference) -> None:
    rng = np.random.default_rng(0)
    batch = {name: rng.normal(size=BATCH) for name in COLUMNS}
    stream = Stream(reference=reference, window=BATCH)
    values = BATCH * len(COLUMNS)
    stream.update(batch)
    ours = values / cpu(lambda: stream.update(batch), 50) / 1e6
    bare = Stream(COLUMNS)
    bare.update(batch)
    sketches = values / cpu(lambda: bare.update(batch), 50) / 1e6
    add = values / cpu(lambda: [v.sum() for v in batch.values()], 50) / 1e6
    count = values / cpu(lambda: [np.histogram(v, 64) for v in batch.values()], 10) / 1e6
    print("million values a second and core, batches of 10,000 rows × 20 columns:")
    print(f"  Stream, sketches and detectors {ours:8.1f}\n  Stream, sketches alone         {sketches:8.1f}")
    print(f"  numpy: sum (limit)             {add:8.1f}\n  numpy: histogram of 64 bins    {count:8.1f}")


def memory(values: int) -> None:
    rng = np.random.default_rng(1)
    stream = Stream(COLUMNS)
    seen, marks = 0, []
    for at in (values // 100, values // 10, values):
        while seen < at:
            stream.update({name: rng.normal(size=BATCH) for name in COLUMNS})
            seen += BATCH * len(COLUMNS)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        marks.append(f"{seen:,}: {len(stream.to_bytes()) / 1024:.0f} KB of sketches, peak {peak:.0f} MB of process")
    print("memory after so many values:\n  " + "\n  ".join(marks))


def wrapper() -> None:
    class Nothing:
        def write(self, rows):
            pass

    def predict(row):
        return 0.5

    logger = PredictionLogger(Nothing(), capacity=1_000_000)
    logged = log_predictions(logger)(predict)
    row = [float(i) for i in range(20)]
    spent: dict[str, list[float]] = {"bare": [], "logged": []}
    for _ in range(20_000):
        for name, function in (("bare", predict), ("logged", logged)):
            began = time.perf_counter_ns()
            function(row)
            spent[name].append((time.perf_counter_ns() - began) / 1e3)
    bare = statistics.median(spent["bare"])
    over = [s - bare for s in spent["logged"]]
    print("request path of a logged prediction, 20 features, above the bare call:")
    print(f"  median {statistics.median(over):.2f} µs, 99 % within {np.quantile(over, 0.99):.1f} µs")
    logger.close()


def false_alarms(months: int) -> None:
    print(f"false alarms in {months:,} simulated months of 720 windows × 4 columns, budget 1 a month:")
    for practical in (0.0, 0.1):
        rng = np.random.default_rng(2)
        raised = 0
        for month in range(months):
            if month % 50 == 0:  # a reference of its own for every fifty months
                sample = pd.DataFrame({f"c{i}": rng.normal(size=20_000) for i in range(4)})
                reference = profile(sample)
                true = {name: cells(reference.columns[name]) for name in reference.columns}
            rule = Rule(false_alarms_per_month=1.0, windows_per_month=720)
            detector = WindowDetector(reference, None, 2_000, rule, practical)
            drawn = {name: rng.multinomial(2_000, p, size=720).astype(float) for name, p in true.items()}
            for window in range(720):
                for name, followed in detector.columns.items():
                    followed.counts, followed.rows = drawn[name][window], 2_000
                    change = detector._look(name)
                    raised += change is not None and change.what == "raised"
        said = "bare test, no practical size" if practical == 0 else "with the practical size of 0.1"
        print(f"  {said}: {raised} raised, {raised / months:.3f} a month")


def cells(column) -> np.ndarray:
    """Return the true chance (standard normal) of every cell that a stream counts into."""
    bins = column.bins
    last = round((bins.edges[-1] - bins.edges[0]) / bins.step)
    edges = bins.edges[0] + np.arange(last + 1) * bins.step
    return np.diff(np.concatenate(([0.0], norm.cdf(edges), [1.0])))


def shift_for(psi: float) -> float:
    """Return the shift of a standard normal's mean that gives this PSI over ten equal bins."""
    edges = norm.ppf(np.linspace(0, 1, 11)[1:-1])

    def gap(shift: float) -> float:
        p, q = (np.diff(np.concatenate(([0.0], norm.cdf(edges - s), [1.0]))) for s in (0.0, shift))
        return float(np.sum((q - p) * np.log(q / p)) - psi)

    return float(brentq(gap, 1e-6, 3.0))


def delays(environments: Path, rounds: int = 20, before: int = 20_000, after: int = 20_000) -> None:
    from river import drift

    made = {"river ADWIN": drift.ADWIN, "river PageHinkley": drift.PageHinkley, "river KSWIN": drift.KSWIN}
    rng = np.random.default_rng(3)
    accepted = rng.normal(size=50_000)
    reference = profile(pd.DataFrame({"x": accepted}))
    streams = {"reference": accepted}
    nannyml = "NannyML, chunks of 500"
    print("rows from the change to the first alarm, median (missed, false before), of 20 streams:")
    for psi in (0.1, 0.2, 0.5):
        shift, found = shift_for(psi), {name: [] for name in ("sickbay Stream, window 500", *made, nannyml)}
        early = dict.fromkeys(found, 0)
        for k in range(rounds):
            values = np.concatenate([rng.normal(size=before), rng.normal(shift, 1, after)])
            streams = {"reference": accepted, **(streams if k else {}), str(k): values}
            stream = Stream(reference=reference, window=500, rule=Rule(1.0, 720))
            at = []
            for i in range(0, len(values), 100):
                at += [c.rows for c in stream.update({"x": values[i : i + 100]}) if c.what == "raised"]
            note("sickbay Stream, window 500", at, before, found, early)
            for name, make in made.items():
                detector, at = make(), []
                for i, value in enumerate(values[: before + 8_000].tolist()):
                    detector.update(value)
                    if detector.drift_detected:
                        at.append(i + 1)
                        if i > before:
                            break
                note(name, at, before, found, early)
        for at in alerts_of_nannyml(environments, streams).values():
            note(nannyml, at, before, found, early)
        for name, rows in found.items():
            told = f"{statistics.median(rows):,.0f}" if rows else "–"
            print(f"  PSI {psi}: {name:<28} {told:>8} ({rounds - len(rows)}, {early[name]})")


def alerts_of_nannyml(environments: Path, streams: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """Return the rows at each alert of each stream; NannyML runs in its own environment."""
    python = environment("nannyml", environments)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "streams.npz", **streams)
        command = [str(python), "-W", "ignore", str(HERE / "peers" / "delay_nannyml.py"), f"{folder}/streams.npz"]
        return json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | QUIET).stdout
        )


def note(name, at, before, found, early) -> None:
    late = [rows - before for rows in at if rows > before]
    early[name] += any(rows <= before for rows in at)
    if late:
        found[name].append(late[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=1000)
    parser.add_argument("--values", type=int, default=100_000_000)
    parser.add_argument("--environments", type=Path, default=HERE.parent / ".benchmarks" / "peers")
    given = parser.parse_args()
    print(versions("sickbay", "datasketches", "river", "numpy"))
    reference = profile(pd.DataFrame(np.random.default_rng(9).normal(size=(100_000, 20)), columns=COLUMNS))
    speed(reference)
    wrapper()
    memory(given.values)
    delays(given.environments)
    false_alarms(given.months)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
