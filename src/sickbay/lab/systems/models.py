"""The lab's models: really trained, on whatever columns the training rows have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sickbay.lab.systems.batch import Array, Batch, Floats, stream


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted classifier with the columns and category levels it was trained on. ``score`` never fails on odd values:

    unknown categories and nulls go in as missing, as they would in a service.
    """

    columns: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    fitted: Any

    def score(self, columns: Mapping[str, Array]) -> Floats:
        """Return the probability of a positive label per row."""
        if not len(next(iter(columns.values()))):
            return np.empty(0)
        with _one_thread():
            return np.asarray(self.fitted.predict_proba(matrix(columns, self.columns, self.levels))[:, 1])


def train(batch: Batch, *, seed: int, small: bool = False, labels: Floats | None = None) -> Model:
    """Train boosted trees on labelled rows; ``small`` gives a weaker model, ``labels`` replaces the true labels."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    names = tuple(sorted(name for name in batch.columns if not name.startswith("__")))
    levels = {n: tuple(sorted(set(batch.columns[n].tolist()))) for n in names if batch.columns[n].dtype == object}
    model = HistGradientBoostingClassifier(
        max_iter=25 if small else 90,
        max_leaf_nodes=6 if small else 15,
        learning_rate=0.1,
        max_bins=128,
        categorical_features=[name in levels for name in names],
        early_stopping=False,
        random_state=seed % 2**31,
    )
    with _one_thread():
        model.fit(matrix(batch.columns, names, levels), batch.label if labels is None else labels)
    return Model(names, levels, model)


def matrix(columns: Mapping[str, Array], names: tuple[str, ...], levels: Mapping[str, tuple[str, ...]]) -> Floats:
    """Return the rows × columns matrix; a column that is not there, an unknown level and a non-number are NaN."""
    rows = len(next(iter(columns.values())))
    out = np.full((rows, len(names)), np.nan)
    for j, name in enumerate(names):
        values = columns.get(name)
        if values is None:
            continue
        if name in levels:
            lookup = {level: float(i) for i, level in enumerate(levels[name])}
            out[:, j] = [lookup.get(v, np.nan) for v in values.tolist()]
        elif values.dtype == object:
            out[:, j] = [_number(v) for v in values.tolist()]
        else:
            out[:, j] = values
    return out


def importance(model: Model, batch: Batch, *, seed: int = 0) -> dict[str, float]:
    """Return column → mean |change of the score| when the column is shuffled over the rows: what the model leans on."""
    before = model.score(batch.columns)
    found = {}
    for name in model.columns:
        shuffled = stream(seed, f"importance {name}").permutation(batch.columns[name])
        found[name] = float(np.mean(np.abs(model.score({**batch.columns, name: shuffled}) - before)))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def _one_thread() -> Any:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)
