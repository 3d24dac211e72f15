"""Two computations of a feature run on the same inputs, until the smallest input is found on which they differ.

Inputs are drawn around the ranges observed, with the edges that break code (nothing, midnight, odd spellings), by
Hypothesis, which then shrinks what it found (MacIver et al. 2019, doi:10.21105/joss.01891).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sickbay.errors import UserError

Row = Mapping[str, Any]
Computation = Callable[[list[Row]], Any]
ROWS, EXAMPLES = 12, 400


@dataclass(frozen=True, slots=True)
class Replayed:
    """``differs``: whether an input was found; ``rows``: the smallest one, ``first``, ``second``: what came of it."""

    differs: bool
    tried: int
    rows: tuple[Row, ...] = ()
    first: Any = None
    second: Any = None

    @property
    def says(self) -> str:
        """What was found, in words."""
        if not self.differs:
            return f"the same result on {self.tried} inputs"
        return f"{self.first!r} against {self.second!r} on {len(self.rows)} rows: {[dict(r) for r in self.rows]!r}"


def replay(
    first: Computation | str, second: Computation | str, inputs: Any, *, tolerance: float = 1e-9,
    examples: int = EXAMPLES, most_rows: int = ROWS, seed: int = 0,
) -> Replayed:  # fmt: skip
    """Run two computations on the rows given and on rows like them; return the smallest input on which they differ.

    ``first``, ``second``: a callable that takes a list of rows (dicts), SQL over a table ``rows`` (DuckDB), or a Feast
    on-demand view (its ``feature_transformation.udf`` gets a pandas frame). ``inputs``: observed rows as dicts, or a
    pandas, Polars or Arrow table. An exception is a result like others. UserError without rows, or without Hypothesis.
    """
    try:
        from hypothesis import HealthCheck, Phase, given, settings, strategies
        from hypothesis import seed as seeded
    except ImportError:
        raise UserError("replay needs Hypothesis", hint='pip install "sickbay[replay]"') from None
    rows = _rows(inputs)
    if not rows:
        raise UserError("replay was given no rows", hint="give some rows that were really seen")
    left, right = _computation(first), _computation(second)
    found: list[Replayed] = []
    count = [0]

    def differing(drawn: list[Row]) -> bool:
        count[0] += 1
        a, b = _result(left, drawn), _result(right, drawn)
        if not _same(a, b, tolerance):
            found.append(Replayed(True, count[0], tuple(drawn), a, b))
            return True
        return False

    differing(rows[: 50 * most_rows])
    like = strategies.fixed_dictionaries({name: _like(strategies, [r.get(name) for r in rows]) for name in rows[0]})

    @seeded(seed)  # type: ignore[untyped-decorator]
    @settings(  # type: ignore[untyped-decorator]
        max_examples=examples, database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @given(strategies.lists(like, min_size=1, max_size=most_rows))  # type: ignore[untyped-decorator]
    def search(drawn: list[Row]) -> None:
        if differing(drawn):
            raise _Differs

    with contextlib.suppress(_Differs):  # Hypothesis runs the smallest example last
        search()
    if not found:
        return Replayed(False, count[0])
    rest = list(min(reversed(found), key=lambda one: len(one.rows)).rows)
    place = 0
    while len(rest) > 1 and place < len(rest):  # rows that nothing depends on: the shrinking leaves some
        fewer = rest[:place] + rest[place + 1 :]
        if differing(fewer):
            rest = fewer
        else:
            place += 1
    differing(rest)
    return found[-1]


class _Differs(Exception):
    """The two computations differ on an input."""


def _rows(inputs: Any) -> list[Row]:
    if hasattr(inputs, "to_dicts"):
        return list(inputs.to_dicts())
    if hasattr(inputs, "to_pylist"):
        return list(inputs.to_pylist())
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):
        return [{str(k): v for k, v in row.items()} for row in inputs.to_dict("records")]
    return [dict(row) for row in inputs]


def _computation(given: Any) -> Computation:
    if isinstance(given, str):
        return _sql(given)
    udf = getattr(getattr(given, "feature_transformation", None), "udf", None)
    if udf is not None:
        return _on_demand(udf)
    if not callable(given):
        raise UserError(f"{type(given).__name__} is no computation", hint="give a callable, SQL, or an on-demand view")
    return given  # type: ignore[no-any-return]


def _sql(text: str) -> Computation:
    """Return SQL over ``rows`` as a computation; its answer is a list of rows."""
    from sickbay.sources.tables import connection, quote

    con = connection(threads=1)

    def run(rows: list[Row]) -> Any:
        names = list(rows[0]) if rows else []
        columns = ", ".join(f"{quote(n)} {_type([r.get(n) for r in rows])}" for n in names)
        con.execute(f"CREATE OR REPLACE TABLE rows ({columns})")
        marks = ", ".join("?" * len(names))
        con.executemany(f"INSERT INTO rows VALUES ({marks})", [[r.get(n) for n in names] for r in rows])
        answer = con.execute(text)
        names = [column[0] for column in answer.description or ()]
        made = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        return made[0][names[0]] if len(made) == 1 and len(names) == 1 else made

    return run


def _type(values: Sequence[Any]) -> str:
    """Return the SQL type of a column of Python values."""
    one = next((v for v in values if not _gone(v)), None)
    if isinstance(one, datetime):
        return "TIMESTAMPTZ" if one.tzinfo else "TIMESTAMP"
    if isinstance(one, int) and not isinstance(one, bool) and any(isinstance(v, float) for v in values):
        return "DOUBLE"
    kinds = ((bool, "BOOLEAN"), (int, "BIGINT"), (float, "DOUBLE"), (date, "DATE"), (str, "VARCHAR"))
    return next((name for kind, name in kinds if isinstance(one, kind)), "DOUBLE")


def _on_demand(udf: Callable[[Any], Any]) -> Computation:
    """Return the transformation of a Feast on-demand view as a computation; its answer is a list of rows."""

    def run(rows: list[Row]) -> Any:
        import pandas

        return udf(pandas.DataFrame([dict(r) for r in rows])).to_dict("records")

    return run


def _result(computation: Computation, rows: list[Row]) -> Any:
    """Return a computation's answer; an exception is an answer too, by its type."""
    try:
        return computation([dict(row) for row in rows])
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
        return type(error)


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k], tolerance) for k in a)
    if _is_list(a) and _is_list(b):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if _gone(a) or _gone(b):
        return _gone(a) and _gone(b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)
    same = a == b
    return bool(same) if isinstance(same, bool) or not hasattr(same, "all") else bool(same.all())


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0)


def _gone(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _like(strategies: Any, values: Sequence[Any]) -> Any:
    """Return a strategy for values like those observed, and a little beyond."""
    known = [v for v in values if not _gone(v)]
    made = _of_kind(strategies, known) if known else strategies.none()
    return strategies.one_of(made, strategies.none()) if len(known) < len(values) else made


def _of_kind(st: Any, known: Sequence[Any]) -> Any:
    one = known[0]
    if isinstance(one, bool):
        return st.booleans()
    if all(isinstance(v, int) for v in known):
        low, high = min(known), max(known)
        room = max(1, (high - low) // 2)
        return st.integers(low - room if low < 0 else max(0, low - room), high + room)
    if all(isinstance(v, int | float) for v in known):
        low, high = float(min(known)), float(max(known))
        room = max(1.0, (high - low) / 2)
        decimals = _decimals([float(v) for v in known])
        low = low - room if low < 0 else max(0.0, low - room)
        if decimals is None:
            return st.floats(low, high + room, allow_nan=False)
        scale = 10**decimals
        return st.integers(math.floor(low * scale), math.ceil((high + room) * scale)).map(lambda k: k / scale)
    if isinstance(one, datetime):
        return _moments(st, [v for v in known if isinstance(v, datetime)])
    if isinstance(one, date):
        return st.dates(min(known) - timedelta(days=3), max(known) + timedelta(days=3))
    if all(isinstance(v, str) for v in known):
        return _words(st, known)
    return st.sampled_from(list(known))


def _decimals(values: Sequence[float]) -> int | None:
    """Return the decimals that all values have at most, None for more than six."""
    return next((k for k in range(7) if all(math.isclose(v, round(v, k), rel_tol=1e-12) for v in values)), None)


def _moments(st: Any, known: Sequence[datetime]) -> Any:
    """Return instants around those observed, with midnights and what lies beside them."""
    zones = {v.tzinfo is not None for v in known}
    plain = [v.astimezone(UTC).replace(tzinfo=None) if v.tzinfo else v for v in known]
    low, high = min(plain) - timedelta(days=1), max(plain) + timedelta(days=1)
    anywhere = st.datetimes(low, high).map(lambda v: v.replace(microsecond=0))
    midnights = st.dates(low.date(), high.date()).map(lambda d: datetime(d.year, d.month, d.day))
    beside = st.tuples(midnights, st.integers(-180, 180)).map(lambda p: p[0] + timedelta(minutes=p[1]))
    made = st.one_of(midnights, beside, anywhere)
    return made.map(lambda v: v.replace(tzinfo=UTC)) if zones == {True} else made


def _words(st: Any, known: Sequence[str]) -> Any:
    """Return texts that were observed, in their own and in other spellings."""
    listed = sorted(set(known))[:200]
    spelt = [str.upper, str.lower, str.title, lambda v: f" {v}", lambda v: f"{v} "]
    return st.one_of(
        st.sampled_from(listed), st.tuples(st.sampled_from(listed), st.sampled_from(spelt)).map(lambda p: p[1](p[0]))
    )
