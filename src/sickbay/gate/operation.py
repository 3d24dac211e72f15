"""``validate``: the whole gate, from tables (or models that can be called) and rules to a verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sickbay.config import Model, Site, choose_model, load_site
from sickbay.gate import checks, registered
from sickbay.gate.pairs import Named, read
from sickbay.gate.rules import rules_for
from sickbay.gate.verdict import Verdict


def validate(
    candidate: Any,
    champion: Any,
    data: Any,
    *,
    site: Any = None,
    model: str | None = None,
    named: Named | None = None,
    metric: str | None = None,
    margin: float | None = None,
    artifacts: tuple[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Verdict:
    """Return whether ``candidate`` may replace ``champion``, judged on the labelled rows of ``data``.

    Each is a file, glob, directory, or in-memory table; candidate and champion may be ``python:module:function``, or a
    function from a mapping of columns to scores. ``site`` and ``model`` bring the columns and ``[model.NAME.gate]``.
    Raises UserError for what cannot be used; what cannot be measured is a check that is "not_shown".
    """
    base = directory or Path.cwd()
    loaded = load_site(site, environ or {}, base) if site is not None else None
    settings = choose_model(loaded, model)[1] if loaded is not None and (loaded.model or model) else None
    if registered.is_registered(candidate) or registered.is_registered(champion):
        return _of_registry(candidate, champion, data, loaded, environ or {}, {
            "site": loaded, "model": model, "named": named, "metric": metric, "margin": margin, "artifacts": artifacts,
            "environ": environ, "directory": directory,
        })  # fmt: skip
    pairs = read(candidate, champion, data, _named(named or Named(), settings), base)
    gate = settings.gate if settings else None
    rules = rules_for(gate, pairs.task, scores=pairs.has_scores, metric=metric, margin=margin)
    sizes = None
    if artifacts is not None:
        keys = ("--candidate-artifact", "--champion-artifact")
        first, second = (checks.artifact_size(path, base, key) for path, key in zip(artifacts, keys, strict=True))
        sizes = first, second
    asked = (
        checks.overall(pairs, rules),
        checks.segments(pairs, rules),
        checks.calibration(pairs, rules),
        checks.stability(pairs, rules),
        checks.operation(pairs, rules, sizes),
        checks.contract(pairs, rules),
    )
    answered = tuple(check for part in asked for check in part)
    notes = list(pairs.notes)
    if pairs.candidate.model is None or pairs.champion.model is None:
        notes.append("stability is judged on the rows whose inputs are missing or far out: the models cannot be called")
    if pairs.unlabelled:
        notes.append(f"{pairs.unlabelled:,} rows without a label are left out")
    if pairs.unmatched:
        notes.append(f"{pairs.unmatched:,} rows without an answer on both sides are left out")
    rows = len(pairs.label)
    return Verdict(answered, pairs.candidate.says, pairs.champion.says, pairs.data, rows, tuple(notes))


def _of_registry(
    candidate: Any, champion: Any, data: Any, site: Site | None, environ: Mapping[str, str], asked: dict[str, Any]
) -> Verdict:
    """Fetch what the registry holds, and judge that."""
    with tempfile.TemporaryDirectory(prefix="sickbay-gate-") as folder:
        sides, said = [], []
        for given, key in ((candidate, "--candidate"), (champion, "--champion")):
            if registered.is_registered(given):
                path, says = registered.fetch(given, site, environ, Path(folder), key)
                sides.append(str(path))
                said.append(says)
            else:
                sides.append(given)
                said.append("")
        verdict = validate(sides[0], sides[1], data, **asked)
    return replace(verdict, candidate=said[0] or verdict.candidate, champion=said[1] or verdict.champion)


def _named(given: Named, settings: Model | None) -> Named:
    """Return the names asked for; what the call leaves open comes from the site file."""
    if settings is None:
        return given
    columns = settings.columns
    gate = settings.gate
    segments = given.segments or (gate.segments if gate and gate.segments is not None else settings.segments)
    return replace(
        given,
        task=given.task or settings.task,
        id=given.id or columns.id,
        label=given.label or columns.label,
        prediction=given.prediction or columns.prediction,
        score=given.score or columns.score,
        latency=given.latency or columns.latency,
        time=given.time or columns.timestamp,
        group=given.group or (gate.group if gate else None),
        segments=segments,
        features=given.features or settings.features,
    )
