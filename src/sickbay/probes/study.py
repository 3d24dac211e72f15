"""What the probes of a prediction log share: its timeline, the two windows compared, samples, fitted models.

Each part is computed once per connection, by whichever probe asks first; the others wait for it. Nothing here
decides anything: it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sickbay.errors import SourceError
from sickbay.probes.windows import FEWEST, Windows, choose_windows, mean_loss, practical_loss
from sickbay.sources.predictions import PredictionLog, Window
from sickbay.stats import bins, breakage, encoding, profile, profiling, segments, shift, table
from sickbay.stats.answers import Answers, imitate
from sickbay.stats.table import Floats, Frame
from sickbay.stats.timeline import Timeline
from sickbay.stats.timeline import measure as measure_timeline

T = TypeVar("T")

SAMPLE = 20_000
"""Rows drawn from each side for what needs single rows."""
MOST_FEATURES = 80
"""Columns given to the fitted models; a wider table is cut to those that moved or broke most."""


class Study:
    """Shared measurements of one prediction log; every property is computed once."""

    def __init__(self, log: PredictionLog) -> None:
        self.log = log

    def _once(self, part: str, compute: Callable[[], T]) -> T:
        return self.log.once(("study", part), compute)

    @property
    def features(self) -> list[str]:
        """All feature columns."""
        return list(self.log.kinds)

    @property
    def timeline(self) -> Timeline | None:
        """The log over time, or None where it has no timestamps."""
        return self._once("timeline", self._timeline)

    def _timeline(self) -> Timeline | None:
        if self.log.first is None or self.log.last is None:
            return None
        end = min(self.log.until, self.log.last) if self.log.until else self.log.last
        window = self.log.window(self.log.first, end, "log")
        return measure_timeline(window, self.log.first, end, self.features, self._usual_levels(window))

    def _usual_levels(self, window: Window) -> dict[str, str]:
        """Return the most common level of each categorical feature, from a small sample."""
        names = [name for name in self.features if self.log.kinds[name] == "category"]
        drawn = window.sample(names, 4000) if names else {}
        usual = {}
        for name in names:
            filled = np.array([v for v in drawn[name].tolist() if v is not None], dtype=object).astype(str)
            if len(filled):
                levels, counts = np.unique(filled, return_counts=True)
                usual[name] = str(levels[np.argmax(counts)])
        return usual

    @property
    def windows(self) -> Windows:
        """Baseline and current window."""
        return self._once("windows", lambda: choose_windows(self))

    @property
    def baseline(self) -> Frame:
        """Sample of the baseline window."""
        return self._once("baseline", lambda: self._frame(self.windows.baseline))

    @property
    def current(self) -> Frame:
        """Sample of the current window."""
        return self._once("current", lambda: self._frame(self.windows.current))

    def _frame(self, window: Window) -> Frame:
        columns = [*self.features, *sorted(window.roles)]
        drawn = window.sample(columns, SAMPLE)
        total = len(drawn[columns[0]]) if columns else 0
        if total < FEWEST:
            raise SourceError(f"too few rows: {total} in the window {window.name or 'of the log'}; needs {FEWEST}")
        return Frame(drawn, self.log.kinds, total)

    @property
    def encoder(self) -> encoding.Encoder:
        """Category codes learned on the baseline."""
        return self._once("encoder", lambda: encoding.fit(self.baseline, self.features))

    def encoded(self, names: Sequence[str]) -> tuple[Floats, Floats]:
        """Return baseline and current matrices of these columns; every column is encoded once."""

        def build() -> tuple[Floats, Floats]:
            return self.encoder.matrix(self.baseline), self.encoder.matrix(self.current)

        before, now = self._once("encoded", build)
        chosen = [self.features.index(name) for name in names]
        return before[:, chosen], now[:, chosen]

    def categorical(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of these columns are categories."""
        return np.array([name in self.encoder.levels for name in names], dtype=bool)

    @property
    def profiles(self) -> tuple[Mapping[str, profile.Column], Mapping[str, profile.Column]]:
        """Full-data profiles of baseline and current over the baseline's bins."""
        return self._once("profiles", self._profiles)

    def _profiles(self) -> tuple[Mapping[str, profile.Column], Mapping[str, profile.Column]]:
        fixed: dict[str, bins.Bins] = dict(bins.sampled_edges(self.baseline, self.features))
        fixed |= {name: bins.LevelBins(levels) for name, levels in self.encoder.levels.items()}
        sides = (self.windows.baseline, self.windows.current)
        first, second = (profiling.measure(side, fixed).columns for side in sides)
        return first, second

    @property
    def breakages(self) -> list[breakage.Breakage]:
        """Every signature of breakage examined, on all columns."""

        def find() -> list[breakage.Breakage]:
            found = breakage.examine(self.baseline, self.current, self.features)
            reference = self.log.reference()
            if reference is not None and self.windows.baseline.name != "reference" and self.windows.onset is None:
                # nothing dates a change: a break may be older than both windows, and the reference knows better
                names = [name for name in self.features if self.log.reference_has(name)]
                found += breakage.examine(self._frame(reference), self.current, names)
            return found

        return self._once("breakages", find)

    @property
    def broken(self) -> dict[str, breakage.Breakage]:
        """Columns that a broken pipeline must have touched, by their values or by lost ties to other columns."""

        def find() -> dict[str, breakage.Breakage]:
            return breakage.broken_columns(self.breakages) | breakage.broken_columns(self.mixed[1])

        return self._once("broken", find)

    @property
    def mixed(self) -> tuple[float, list[breakage.Breakage]]:
        """Evidence for values that belong to other rows, over the columns whose values look sound."""

        def find() -> tuple[float, list[breakage.Breakage]]:
            odd = breakage.broken_columns(self.breakages)
            names = [name for name in self.features if name not in odd][: 2 * MOST_FEATURES]
            if len(names) < 2:
                return 0.0, []
            before, now = self.encoded(names)
            marginals = np.array([marginal(before[:, j], now[:, j]) for j in range(len(names))])
            return breakage.dependence_lost(before, now, names, marginals)

        return self._once("mixed", find)

    @property
    def clean(self) -> list[str]:
        """Feature columns fit for comparing inputs: not broken, not a clock or an identifier, at most 80."""
        return self._once("clean", self._clean)

    def _clean(self) -> list[str]:
        fit = [name for name in self.features if name not in self.broken and self._learnable(name)]
        kept = [name for name in fit if not self._like_a_clock(name)]
        if len(kept) <= MOST_FEATURES:
            return kept
        moved = {name: breakage.ks(*self._codes(name)) for name in kept}
        return sorted(sorted(kept, key=lambda name: -moved[name])[:MOST_FEATURES])

    def _learnable(self, name: str) -> bool:
        """Return whether both halves of the baseline hold a value: boosted trees cannot be fitted on nulls alone."""
        known = np.isfinite(self.encoded([name])[0][:, 0])
        return bool(known[::2].any() and known[1::2].any())

    def _codes(self, name: str) -> tuple[Floats, Floats]:
        before, now = (side[:, 0][np.isfinite(side[:, 0])] for side in self.encoded([name]))
        return (before if len(before) else np.zeros(1)), (now if len(now) else np.zeros(1))

    def _like_a_clock(self, name: str) -> bool:
        """Return whether a column just counts time or rows: it would tell any two windows apart."""
        if self.log.kinds[name] == "category":
            levels = np.unique(np.array([str(v) for v in self.baseline.columns[name].tolist()]))
            return len(levels) > 0.5 * self.baseline.rows > 50
        if table.TIME not in self.current.columns:
            return False
        values = np.asarray(self.current.columns[name], dtype=np.float64)
        when = self.current.columns[table.TIME].astype("datetime64[us]").astype(np.float64)
        known = np.isfinite(values)
        if known.sum() < 50:
            return False
        return abs(float(breakage.rank_correlation(np.column_stack([values[known], when[known]]))[0, 1])) > 0.98

    def matrices(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Return baseline and current matrices of the clean columns, and which columns are categories."""
        if not self.clean:
            raise SourceError("no feature column is left to compare: all are broken, clocks, or identifiers")

        return (*self.encoded(self.clean), self.categorical(self.clean))

    @property
    def domain(self) -> shift.Domain:
        """Classifier of current against baseline rows on the clean columns."""

        def fit() -> shift.Domain:
            x, y, categorical = self.matrices()
            need_rows(len(x), len(y))
            return shift.tell_apart(x, y, categorical)

        return self._once("domain", fit)

    @property
    def logged_domain(self) -> shift.Domain:
        """Classifier on all columns, broken ones too: which current rows does the baseline know as they were logged."""

        def fit() -> shift.Domain:
            names = self.answer_columns
            return shift.tell_apart(*self.encoded(names), self.categorical(names))

        return self._once("logged domain", fit) if self.broken else self.domain

    @property
    def answer_columns(self) -> list[str]:
        """Columns that the surrogate of the model sees: all that are no clock and no identifier."""

        def find() -> list[str]:
            kept = [*self.clean, *self.broken]
            fit = [name for name in self.features if name in kept and self._learnable(name)]
            return [name for name in fit if not self._like_a_clock(name)]

        return self._once("answer columns", find)

    @property
    def segment_columns(self) -> list[str]:
        """Segment columns of the site file, or categorical features with few levels and unequal loss."""

        def find() -> list[str]:
            named = [name for name in self.log.settings.segments if name in self.log.kinds]
            return named or segments.choose(self.baseline, table.LOSS)

        return self._once("segment columns", find)

    @property
    def mix(self) -> segments.Mix | None:
        """Movement of the mix over the segment columns, or None where there are none."""
        return self._once("mix", self._mix)

    def _mix(self) -> segments.Mix | None:
        columns = [name for name in self.segment_columns if name not in self.broken][:3]
        if not columns:
            return None
        before, now = segments.cells(self.baseline, columns), segments.cells(self.current, columns)
        loss = self.baseline.role(table.LOSS)
        known = np.isfinite(loss)
        return segments.mix(before, now, loss[known], before[known])

    @property
    def answers(self) -> Answers:
        """Surrogate of the logged answers, learned on the baseline over all feature columns."""
        return self._once("answers", self._answers)

    def _answers(self) -> Answers:
        role = table.SCORE if table.SCORE in self.windows.baseline.roles else table.PREDICTED
        if role not in self.windows.baseline.roles or role not in self.windows.current.roles:
            raise SourceError(f"no data: {role.strip('_')} is not in both the baseline and the current rows")
        if self.log.task == "multiclass":
            raise SourceError("not applicable: no surrogate for more than two classes in this release")
        names = self.answer_columns
        if not names:
            raise SourceError("no data: the log has no feature column")
        before, now = self.baseline.role(role), self.current.role(role)
        need_rows(int(np.isfinite(before).sum()), int(np.isfinite(now).sum()))
        predicted = self.baseline.role(table.PREDICTED)
        return imitate(*self.encoded(names), before, now, predicted, self.categorical(names))

    @property
    def loss_change(self) -> tuple[float, float, float, float]:
        """Mean loss before and now over all labelled rows, the standard error of the change, the practical size."""

        def compute() -> tuple[float, float, float, float]:
            before, now = mean_loss(self.windows.baseline), mean_loss(self.windows.current)
            error = float(np.hypot(before[1], now[1]))
            return before[0], now[0], error, practical_loss(before[0], self.log.task)

        return self._once("loss change", compute)


def no_loss(risen: float) -> float:
    """Return the log ratio of "this explains the new loss" where there is no new loss to explain.

    Half of what speaks against a rise: the same observation already counts in the finding about the loss itself.
    """
    return 0.5 * min(0.0, risen)


def marginal(before: Floats, now: Floats) -> float:
    """Return the Kolmogorov–Smirnov distance of two columns without their nulls; 1 when either is all null."""
    a, b = before[np.isfinite(before)], now[np.isfinite(now)]
    return breakage.ks(a, b) if len(a) and len(b) else 1.0


def study(log: PredictionLog) -> Study:
    """Return the shared study of a prediction log."""
    return log.once("study", lambda: Study(log))


def need_rows(before: int, now: int, least: int = 100) -> None:
    """Raise SourceError when either side has too few rows to fit anything on."""
    if min(before, now) < least:
        raise SourceError(f"too few rows: {before:,} before and {now:,} now; needs {least} on each side")
