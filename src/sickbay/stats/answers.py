"""Does the model still answer as it did: a surrogate of the logged scores, learned where the model was healthy.

The surrogate predicts the logged score (or class) from the logged features of the baseline. Where it still fits, the
model as logged is the same function; where it does not, something stands between features and answers: another version,
a fallback, features altered after they were logged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sickbay.stats.shift import Domain, one_thread, regressor
from sickbay.stats.table import Floats


@dataclass(frozen=True, slots=True)
class Answers:
    """Residuals |logged − surrogate| in units of the score's baseline spread, per row, and the surrogate's answers."""

    baseline: Floats
    current: Floats
    answer_baseline: Floats
    answer_current: Floats
    threshold: float
    """Score from which the baseline's model predicts the positive class."""
    spread: float

    def excess(self, domain: Domain, mask: NDArray[np.bool_]) -> tuple[float, float]:
        """Return how much larger the current residuals are than the reweighted baseline's, and the standard error.

        Only current rows of ``mask`` whose inputs the baseline knows are compared; NaN when there are under 50.
        """
        used = mask & domain.overlap & np.isfinite(self.current)
        if used.sum() < 50:
            return float("nan"), float("nan")
        known = np.isfinite(self.baseline) & (domain.baseline < 0.98)
        w = domain.weights[known]
        before = float(np.average(self.baseline[known], weights=w))
        now = self.current[used]
        share = w.sum() ** 2 / np.sum(w**2)
        error = np.sqrt(now.var() / len(now) + self.baseline[known].var() / max(share, 1.0))
        return float(now.mean() - before), float(error)


def imitate(
    baseline: Floats,
    current: Floats,
    scores: Floats,
    scores_now: Floats,
    predicted: Floats,
    categorical: NDArray[np.bool_],
) -> Answers:
    """Fit the surrogate on baseline rows (out of fold there) and answer for the current ones.

    ``scores`` may be classes 0/1 where the log has no score. Rows without a score are NaN in the residuals.
    """
    known = np.isfinite(scores)
    fold = np.arange(len(scores)) % 2
    inside = np.full(len(scores), np.nan)
    outside = np.zeros(len(current))
    for k in (0, 1):
        train = known & (fold != k)
        model = regressor(int(train.sum()), categorical, iterations=80)
        with one_thread():
            model.fit(baseline[train], scores[train])
            inside[fold == k] = model.predict(baseline[fold == k])
            outside += model.predict(current) / 2
    spread = float(np.nanstd(scores)) or 1.0
    return Answers(
        baseline=np.abs(scores - inside) / spread,
        current=np.abs(scores_now - outside) / spread,
        answer_baseline=inside,
        answer_current=outside,
        threshold=threshold(scores, predicted),
        spread=spread,
    )


def threshold(scores: Floats, predicted: Floats) -> float:
    """Return the score that splits predicted positives from negatives with the fewest disagreements; 0.5 if unclear."""
    known = np.isfinite(scores) & np.isfinite(predicted)
    s, p = scores[known], predicted[known] > 0.5
    if not len(s) or p.all() or not p.any():
        return 0.5
    order = np.argsort(s, kind="stable")
    wrong = np.cumsum(p[order]) + (~p[order]).sum() - np.cumsum(~p[order])
    best = int(np.argmin(wrong))
    ranked = s[order]
    if best + 1 < len(ranked):
        return float((ranked[best] + ranked[best + 1]) / 2)
    return float(ranked[best])
