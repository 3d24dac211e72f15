"""Two computations of a feature run on the same inputs, until the smallest input is found on which they differ.

Inputs are drawn around the ranges observed, with the edges that break code (nothing, midnight, odd spellings), by
Hypothesis, which then shrinks what it found (MacIver et al. 2019, doi:10.21105/joss.01891).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.errors import UserError
from sickbay.gate.answers import Raised, plainest, same
from sickbay.gate.computations import Computation, computation
from sickbay.gate.replay_inputs import Row, rows_of, strategy

ROWS, EXAMPLES = 12, 400
WIDTH = 1e-9
"""Relative width within which numbers are the same."""


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
    first: Callable[[list[Row]], Any] | str, second: Callable[[list[Row]], Any] | str, inputs: Any, *,
    tolerance: float | None = None, examples: int = EXAMPLES, most_rows: int = ROWS, seed: int = 0,
    base: Path | None = None, pythons: Sequence[str] = (), allow_code: bool = False,
) -> Replayed:  # fmt: skip
    """Run two computations on the rows given and on rows like them; return the smallest input on which they differ.

    ``first``, ``second``: a callable that takes a list of rows (dicts); a Feast on-demand view; or a text: SQL over a
    table ``rows`` (DuckDB), ``file.py:function`` or ``module:function`` of a list of rows or of columns, and
    ``feast:REPOSITORY#VIEW``, run from the text in the registry if ``allow_code``. Functions by text run in a process
    of their own, with the interpreter in ``pythons`` (one for both, or one each). ``inputs``: observed rows as dicts,
    or a pandas, Polars or Arrow table. An exception is a result like others, once some input gave a result: UserError
    for a computation that fails on every row observed, for SQL that cannot be run, without rows, without Hypothesis.
    """
    try:
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import seed as seeded
        from hypothesis import strategies as st
    except ImportError:
        raise UserError("replay needs Hypothesis", hint='pip install "sickbay[replay]"') from None
    rows = rows_of(inputs)
    if not rows:
        raise UserError("replay was given no rows", hint="give some rows that were really seen")
    like = strategy(st, rows)
    with contextlib.ExitStack() as held:
        sides = []
        for k, one in enumerate((first, second)):
            python = (pythons[k] if k < len(pythons) else pythons[0]) if pythons else ""
            made = computation(one, list(rows[0]), base=base, python=python, allow_code=allow_code)
            held.callback(made.close)
            _answers(made, rows)
            sides.append(made)
        search = _Search(sides[0], sides[1], WIDTH if tolerance is None else tolerance)
        search.differing(rows[: 50 * most_rows])

        @seeded(seed)  # type: ignore[untyped-decorator]
        @settings(  # type: ignore[untyped-decorator]
            max_examples=examples, database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck), print_blob=False,
        )  # fmt: skip
        @given(st.lists(like, min_size=1, max_size=most_rows))  # type: ignore[untyped-decorator]
        def look(drawn: list[Row]) -> None:
            if search.differing(drawn):
                raise _Differs

        with contextlib.suppress(_Differs):  # Hypothesis runs the smallest example last
            look()
        return search.smallest()


def _answers(made: Computation, rows: Sequence[Row]) -> None:
    """Raise UserError when a computation raises on the rows observed, all together and one by one."""
    told = made.run(list(rows[: 50 * ROWS]))
    if isinstance(told, Raised) and all(isinstance(made.run([row]), Raised) for row in rows[:20]):
        raise UserError(
            f"{made.says} fails on every row that was seen: it {told!r}",
            hint=f"columns of the inputs: {', '.join(rows[0])}; a difference needs a result on some input",
        )


class _Search:
    """Inputs tried so far, and those on which the two differed."""

    def __init__(self, first: Computation, second: Computation, tolerance: float) -> None:
        self.first, self.second, self.tolerance = first, second, tolerance
        self.found: list[Replayed] = []
        self.tried = 0

    def differing(self, rows: Sequence[Row]) -> bool:
        """Return whether the two differ on these rows, and remember it."""
        self.tried += 1
        a, b = (one.run([dict(row) for row in rows]) for one in (self.first, self.second))
        if same(a, b, self.tolerance, ordered=self.first.ordered and self.second.ordered):
            return False
        self.found.append(Replayed(True, self.tried, tuple(rows), plainest(a), plainest(b)))
        return True

    def smallest(self) -> Replayed:
        """Return the smallest input found, without rows on which nothing depends: the shrinking leaves some."""
        if not self.found:
            return Replayed(False, self.tried)
        rest = list(min(reversed(self.found), key=lambda one: len(one.rows)).rows)
        place = 0
        while len(rest) > 1 and place < len(rest):
            fewer = rest[:place] + rest[place + 1 :]
            if self.differing(fewer):
                rest = fewer
            else:
                place += 1
        self.differing(rest)
        return self.found[-1]


class _Differs(Exception):
    """The two computations differ on an input."""
