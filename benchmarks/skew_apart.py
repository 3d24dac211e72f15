"""Named cases of skew that share no code with ``skew_cases``: whole tables, through the same door that users take.

    python benchmarks/skew_apart.py [--seed 20000] [--rounds 2] [--only prices] [--show] [--markdown]

Other shapes than the generator's: prices that end in .99, counts that are nearly all zero, texts of many alphabets,
long identifiers, timestamps, shares of a hundred; altered for a segment, from a day on, or by two causes; 1,000 to
200,000 rows of which 3 to 60 % are concerned. They show whether the explainer was fitted to the other generator.
"""

from __future__ import annotations

import argparse
import html
import sys
import time
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from measure import rate, versions

import sickbay

PLACES = [
    "Αθήνα", "Łódź", "Kraków", "東京", "İzmir", "Malmö", "New  York", "Sankt Gallen", "Besançon", "Ålesund", "Zürich",
    "A Coruña", "Tromsø", "Praha 1", "St. John's", "Bergen-Nord", "Übersee", "Nîmes", "Gdańsk", "Reykjavík",
    "Oslo & Akershus",
]  # fmt: skip
EPOCH = pd.Timestamp("2026-03-02", tz="UTC")
Rows = pd.DataFrame
Alter = Callable[[np.random.Generator, Rows, Rows], pd.Series]


@dataclass(frozen=True)
class Case:
    """A case: what the values are, what is done to them (in order), and the names that count as right for each."""

    name: str
    values: str
    alters: tuple[Alter, ...]
    right: tuple[tuple[str, ...], ...]
    rows: int = 6_000
    share: float = 0.2
    way: str = "rows"
    history: bool = False


def draw(rng: np.random.Generator, values: str, n: int) -> pd.Series:
    """Return values of one kind."""
    if values == "prices":
        made: object = rng.geometric(0.05, n) - rng.choice([0.01, 0.05, 0.0], n, p=[0.7, 0.2, 0.1])
    elif values == "ties":
        made = np.minimum(rng.geometric(0.35, n), 40).astype(float)
    elif values == "sparse":
        made = np.where(rng.random(n) < 0.9, 0, rng.negative_binomial(1, 0.08, n) + 1).astype(float)
    elif values == "percent":
        made = np.round(100 * rng.beta(2, 5, n), 1)
    elif values == "latency":
        made = np.round(np.exp(rng.normal(4, 0.8, n)), 3)
    elif values == "balance":
        made = np.round(rng.laplace(40, 300, n), 2)
    elif values == "score":
        made = rng.beta(0.6, 3, n)
    elif values == "places":
        weights = 1 / np.arange(1, len(PLACES) + 1)
        made = rng.choice(np.array(PLACES, dtype=object), n, p=weights / weights.sum())
    elif values == "tokens":
        made = np.array([f"{k:012x}" for k in rng.integers(0, 2**48, n)], dtype=object)
    elif values == "ids":
        made = rng.integers(10**11, 10**12, n)
    elif values == "times":
        made = EPOCH + pd.to_timedelta(np.sort(rng.integers(0, 60 * 86400, n)), unit="s")
    elif values == "truth":
        made = rng.random(n) < 0.15
    else:
        raise ValueError(values)
    return pd.Series(made)


def through(function: Callable[..., object]) -> Alter:
    """Return an alteration of each value by itself."""
    return lambda rng, rows, past: rows["feature"].map(function, na_action="ignore")


def filled(default: object) -> Alter:
    return lambda rng, rows, past: rows["feature"].where(rows["feature"].notna(), default)


def past_value(when: Callable[[np.random.Generator, Rows], pd.Series]) -> Alter:
    """Return an alteration that serves what the history held at another time."""

    def alter(rng: np.random.Generator, rows: Rows, past: Rows) -> pd.Series:
        asked = rows[["entity"]].assign(at=when(rng, rows), place=np.arange(len(rows))).sort_values("at")
        held = pd.merge_asof(asked, past.rename(columns={"ts": "at"}).sort_values("at"), on="at", by="entity")
        return held.sort_values("place")["feature"].set_axis(rows.index)

    return alter


def without_newest(rng: np.random.Generator, rows: Rows, past: Rows) -> pd.Series:
    late = past.sort_values(["entity", "ts"]).assign(feature=lambda t: t.groupby("entity")["feature"].shift(1))
    return past_value(lambda _, table: table["ts"])(rng, rows, late)


def other_column(rng: np.random.Generator, rows: Rows, past: Rows) -> pd.Series:
    return rows["neighbour"]


def shuffled(rng: np.random.Generator, rows: Rows, past: Rows) -> pd.Series:
    return rows["feature"].sample(frac=1, random_state=int(rng.integers(2**31))).set_axis(rows.index)


def another_model(rng: np.random.Generator, rows: Rows, past: Rows) -> pd.Series:
    return np.round(rows["feature"] * rng.lognormal(0.1, 0.3, len(rows)) + 3, 2)


def jitter(rng: np.random.Generator, rows: Rows, past: Rows) -> pd.Series:
    return rows["feature"] * (1 + rng.normal(0, 1e-13, len(rows)))


def ago(**length: float) -> Alter:
    return past_value(lambda rng, rows: rows["ts"] - pd.Timedelta(**length))


def aged(hours: float) -> Alter:
    return past_value(
        lambda rng, rows: rows["ts"] - pd.to_timedelta(rng.integers(0, int(hours * 3600), len(rows)), unit="s")
    )


def until(day: int) -> Alter:
    return past_value(lambda rng, rows: rows["ts"].clip(upper=EPOCH + pd.Timedelta(days=day)))


def half_up(places: int) -> Callable[[float], float]:
    return lambda v: float(np.floor(v * 10**places + 0.5) / 10**places)


def replaced(pairs: dict[str, str]) -> Alter:
    return through(lambda v: pairs.get(v, v))


def one(name: str, values: str, alter: Alter, *right: str, **more: object) -> Case:
    return Case(name, values, (alter,), (right,), **more)  # type: ignore[arg-type]


MOJIBAKE = through(lambda s: s.encode("utf-8").decode("cp1252", "replace"))
CASES = (
    one("prices to five cents", "prices", through(lambda v: round(v * 20) / 20), "rounding"),
    one("prices to whole numbers, half up", "prices", through(half_up(0)), "rounding", rows=1_500, share=0.4),
    one("prices cut to whole numbers", "prices", through(lambda v: float(int(v))), "truncation", way="segment"),
    one("prices in cents", "prices", through(lambda v: round(v * 100)), "unit-scale", rows=1_000, share=0.05),
    one("prices with 19 % tax, rounded", "prices", through(lambda v: round(v * 1.19, 2)), "unit-scale", way="segment"),
    one("prices with postage", "prices", through(lambda v: v + 4.9), "affine", share=0.6),
    one("prices capped", "prices", through(lambda v: min(v, 29.99)), "clip", share=0.5, rows=20_000),
    one("prices negated for returns", "prices", through(lambda v: -v), "sign", share=0.03, rows=50_000),
    one("prices unknown are 0", "prices", filled(0.0), "default-for-null", share=1.0),
    one("latency in seconds", "latency", through(lambda v: v / 1000), "unit-scale", way="day", rows=200_000),
    one("latency as logarithm", "latency", through(np.log1p), "affine", share=0.3),
    one("latency through float32", "latency", through(lambda v: float(np.float32(v))), "precision", rows=2_000),
    one("latency through float16", "latency", through(lambda v: float(np.float16(v))), "precision", way="segment"),
    one("latency to milliseconds", "latency", through(lambda v: float(round(v))), "rounding", share=0.1, rows=100_000),
    one("latency to three digits", "latency", through(lambda v: float(f"{v:.3g}")), "rounding"),
    one("latency floored at 20", "latency", through(lambda v: max(v, 20.0)), "clip", share=0.6),
    one("balances without sign", "balance", through(abs), "sign", share=0.4),
    one("balances never below 0", "balance", through(lambda v: max(v, 0.0)), "clip", way="segment"),
    one("percent as shares", "percent", through(lambda v: v / 100), "unit-scale", share=0.6, rows=1_000),
    one("percent turned round", "percent", through(lambda v: 100 - v), "affine", way="day"),
    one("scores to two digits", "score", through(lambda v: round(v, 2)), "rounding", share=0.5, rows=100_000),
    one("scores of another model", "score", another_model, "other-source", share=0.3),
    one("ties capped", "ties", through(lambda v: min(v, 5.0)), "clip", share=0.5, rows=20_000),
    one("ties doubled", "ties", through(lambda v: 2 * v), "unit-scale", way="segment"),
    one("ties one too many", "ties", through(lambda v: v + 1), "affine", share=0.25),
    one("sparse unknown are -1", "sparse", filled(-1.0), "default-for-null", share=1.0, rows=40_000),
    one("sparse zero instead of values", "sparse", through(lambda v: 0.0), "default-for-null", share=0.6, rows=20_000),
    one("sparse of the neighbour", "sparse", other_column, "swapped-column", share=0.6, rows=20_000),
    one("places in capitals", "places", through(str.upper), "text-normalisation", way="segment"),
    one("places without accents", "places", through(
        lambda s: "".join(c for c in unicodedata.normalize("NFKD", s) if not unicodedata.combining(c))),
        "text-normalisation", rows=1_000, share=0.5),
    one("places decomposed", "places", through(lambda s: unicodedata.normalize("NFD", s)), "text-normalisation"),
    one("places trimmed and single-spaced", "places", through(lambda s: " ".join(s.split())), "text-normalisation",
        share=0.6),
    one("places in a wrong character set", "places", MOJIBAKE, "encoding", share=0.5),
    one("places escaped for HTML", "places", through(lambda s: html.escape(s)), "encoding", share=0.6, rows=20_000),
    one("places escaped for addresses", "places", through(urllib.parse.quote), "encoding", way="segment"),
    one("places renamed", "places", replaced({"東京": "Tokyo", "Αθήνα": "Athens", "Łódź": "Lodz?"}),
        "renamed-category", share=0.6),
    one("places of other rows", "places", shuffled, "other-source", share=0.3),
    one("tokens of the neighbour", "tokens", other_column, "swapped-column", way="segment"),
    one("identifiers through float32", "ids", through(lambda v: int(np.float32(v))), "precision", share=0.2),
    one("identifiers through int32", "ids", through(lambda v: int(np.int64(v).astype(np.int32))), "precision"),
    one("times in New York", "times", through(lambda t: t - pd.Timedelta(hours=5)), "timezone", way="segment"),
    one("times cut to days", "times", through(lambda t: t.floor("D")), "truncation", "rounding", share=0.3),
    one("balances of two hours ago", "balance", ago(hours=2), "constant-lag", share=0.5, history=True),
    one("counts of five hours ago", "ties", ago(hours=5), "constant-lag", way="segment", history=True, rows=20_000),
    one("prices up to six hours old", "prices", aged(6), "cache", share=0.5, history=True, rows=20_000),
    one("places not updated since day 12", "places", until(12), "stopped-updating", way="segment", history=True),
    one("sparse not updated since day 9", "sparse", until(9), "stopped-updating", share=0.6, history=True, rows=30_000),
    one("latency without the last update", "latency", without_newest, "late-events", share=0.1, history=True),
    one("balances a day ahead", "balance", past_value(lambda rng, rows: rows["ts"] + pd.Timedelta(days=1)),
        "future-value", share=0.4, history=True),
    one("balances in thousands, one decimal", "balance", through(lambda v: round(v / 1000, 1)), "unit-scale"),
    one("latency up to whole milliseconds", "latency", through(lambda v: float(-(-v // 1))), "truncation", share=0.1),
    one("percent kept within 5 and 60", "percent", through(lambda v: min(max(v, 5.0), 60.0)), "clip", share=0.6),
    one("prices less ten percent and one", "prices", through(lambda v: 0.9 * v - 1), "affine", way="segment"),
    one("prices unknown are their mean", "prices", filled(19.37), "default-for-null", share=1.0, rows=1_000),
    one("balances with the other sign for some shops", "balance", through(lambda v: -v), "sign", way="segment"),
    one("identifiers as text of floats", "ids", through(lambda v: float(v) // 1000 * 1000), "rounding", "truncation"),
    one("places without spaces", "places", through(lambda s: s.replace(" ", "")), "text-normalisation", share=0.6),
    one("tokens in capitals", "tokens", through(str.upper), "text-normalisation", share=0.05, rows=100_000),
    one("places as questions", "places", through(lambda s: s.encode("ascii", "replace").decode()), "encoding",
        way="segment"),
    one("times up to whole hours", "times", through(lambda t: t.ceil("h")), "truncation", way="day"),
    one("times in Kathmandu", "times", through(lambda t: t + pd.Timedelta(minutes=345)), "timezone", share=0.05),
    one("ties without the last update", "ties", without_newest, "late-events", share=0.5, history=True, rows=20_000),
    one("places of three hours ago", "places", ago(hours=3), "constant-lag", way="segment", history=True),
    one("truth of four hours ago", "truth", ago(hours=4), "constant-lag", share=0.6, history=True, rows=50_000),
    one("scores up to a day old", "score", aged(24), "cache", way="segment", history=True),
    one("percent not updated since day 5", "percent", until(5), "stopped-updating", share=0.3, history=True),
    one("prices of two days later", "prices", past_value(lambda rng, rows: rows["ts"] + pd.Timedelta(days=2)),
        "future-value", way="segment", history=True, rows=20_000),
    one("latency of another service", "latency", lambda rng, rows, past: pd.Series(rng.weibull(1.5, len(rows)) * 90),
        "other-source", way="day"),
    Case("prices negated, and whole", "prices", (through(lambda v: -v), through(lambda v: float(round(v)))),
         (("sign",), ("rounding",)), share=0.3),
    Case("prices in cents, and unknown are 0", "prices", (through(lambda v: v * 100), filled(0.0)),
         (("unit-scale",), ("default-for-null",)), share=0.3),
    Case("latency rounded, and two hours old", "latency", (ago(hours=2), through(lambda v: round(v, 1))),
         (("constant-lag",), ("rounding",)), share=0.4, history=True, rows=20_000),
    Case("places in small letters, and renamed", "places", (
        through(str.lower), replaced({"Αθήνα": "Athens", "Łódź": "Lodz?"})),
         (("text-normalisation",), ("renamed-category",)), share=0.3, rows=20_000),
    Case("balances without sign, and capped", "balance", (through(abs), through(lambda v: min(v, 250.0))),
         (("sign",), ("clip",)), share=0.3),
    Case("percent as shares, and rounded", "percent", (through(lambda v: v / 100), through(lambda v: float(round(v)))),
         (("unit-scale",), ("rounding",)), share=0.3),
    Case("truth turned round, which cannot be told", "truth", (through(lambda v: not v),), (), share=0.3),
    *(Case(f"healthy {values}", values, (), (), rows=rows) for values, rows in (
        ("prices", 50_000), ("ties", 2_000), ("sparse", 20_000), ("places", 5_000), ("ids", 3_000), ("times", 3_000),
        ("truth", 3_000), ("score", 5_000))),
    *(Case(f"healthy, with noise: {values}", values, (jitter,), (), share=1.0)
      for values in ("prices", "latency", "balance", "score")),
    *(Case(f"healthy, few late rows: {values}", values, (without_newest,), (), share=0.006, history=True)
      for values in ("prices", "ties", "places", "balance")),
)  # fmt: skip


def tables(case: Case, seed: int) -> tuple[Rows, Rows, Rows | None]:
    """Return the offline side, the online side and the history."""
    rng = np.random.default_rng([seed, sum(case.name.encode())])
    n, entities = case.rows, max(40, case.rows // 40)
    past = pd.DataFrame({"entity": rng.integers(0, entities, 40 * entities)})
    past["ts"] = EPOCH + pd.to_timedelta(rng.integers(0, 20 * 86400, len(past)), unit="s")
    past = past.drop_duplicates(["entity", "ts"]).reset_index(drop=True)
    past["feature"] = draw(rng, case.values, len(past))
    asked = pd.DataFrame({"request": np.arange(n), "entity": rng.integers(0, entities, n)})
    asked["ts"] = EPOCH + pd.to_timedelta(rng.integers(2 * 86400, 20 * 86400, n), unit="s")
    asked = asked.drop_duplicates(["entity", "ts"]).reset_index(drop=True)
    rows = asked
    if case.history:
        rows = asked.assign(feature=past_value(lambda _, table: table["ts"])(rng, asked, past))
    else:
        rows = asked.assign(feature=draw(rng, case.values, len(asked)))
    rows["neighbour"] = draw(rng, case.values, len(rows)).sample(frac=1, random_state=seed % 2**31).to_numpy()
    rows["further"] = rng.permutation(rows["neighbour"].to_numpy())
    rows["shop"] = rng.choice(["north", "south", "east", "west", "web"], len(rows))
    if any(names == ("default-for-null",) for names in case.right) and "instead" not in case.name:
        rows["feature"] = rows["feature"].mask(rng.random(len(rows)) < 0.15)
    online = rows.copy()
    taken = np.zeros(len(rows), dtype=bool)
    for alter in case.alters:
        part = _part(rng, case, rows) & ~taken
        taken |= part
        if not case.right or case.share == 1.0 or part.any():
            altered = alter(rng, rows, past)
            online["feature"] = online["feature"].astype(object).where(~part, altered.astype(object))
    online["feature"] = online["feature"].infer_objects()
    return rows, online.drop(columns="shop"), past if case.history else None


def _part(rng: np.random.Generator, case: Case, rows: Rows) -> np.ndarray:
    if case.way == "segment":
        return (rows["shop"] == "web").to_numpy()
    if case.way == "day":
        return (rows["ts"] >= EPOCH + pd.Timedelta(days=16)).to_numpy()
    return rng.random(len(rows)) < case.share


def look(case: Case, seed: int) -> tuple[list[str], sickbay.SkewReport]:
    """Return the hypotheses named for the feature, best first."""
    offline, online, past = tables(case, seed)
    report = sickbay.skew(
        offline, online, keys=["entity"], time="ts", history=past, features=["feature", "neighbour", "further"]
    )
    found = next(f for f in report.features if f.name == "feature")
    return [e.hypothesis for e in found.explanations], report


def good(case: Case, got: list[str]) -> bool:
    """Return whether the right cause is first, both of two are named, or nothing of a healthy feature is claimed."""
    if len(case.right) == 1:
        return bool(got) and got[0] in case.right[0]
    return all(set(names) & set(got) for names in case.right) if case.right else not got


def main() -> int:
    """Run the cases and print what was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="print the table of misses for the documentation")
    given = parser.parse_args()
    print(versions("sickbay", "numpy", "pandas", "duckdb"), file=sys.stderr)
    hits, tried, missed = Counter(), Counter(), {}
    began = time.process_time()
    for case in CASES:
        if given.only not in case.name:
            continue
        kind = ("healthy, nothing claimed", "one cause, right first", "two causes, both named")[len(case.right)]
        for k in range(given.rounds):
            got, report = look(case, given.seed + k)
            tried[kind] += 1
            hits[kind] += good(case, got)
            if not good(case, got):
                missed.setdefault(case.name, []).append(" + ".join(got) or "nothing")
                if given.show:
                    found = next(f for f in report.features if f.name == "feature")
                    print(case.name, given.seed + k, f"{found.mismatch_share:.3%}", found.counts.types, found.explained,
                          file=sys.stderr)  # fmt: skip
    for kind, n in tried.items():
        print(f"| {kind} | {rate(hits[kind], n)} |" if given.markdown else f"{kind}: {rate(hits[kind], n)}")
    for name, got in missed.items():
        print(f"  {name}: {'; '.join(got)}", file=sys.stderr if given.markdown else sys.stdout)
    print(f"CPU seconds a case: {(time.process_time() - began) / max(1, sum(tried.values())):.2f}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
