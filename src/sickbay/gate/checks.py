"""The questions the gate asks of a pair of models, each answered with an interval and a margin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from sickbay.gate.pairs import Array, Pairs
from sickbay.gate.rules import Rules
from sickbay.gate.verdict import Check, Status
from sickbay.stats import paired
from sickbay.stats.paired import NEEDS_SCORE, RELATIVE, Estimate, Side

FEWEST_OF_A_CLASS = 20
LATENCIES = 100
DRAWS = 400


def overall(pairs: Pairs, rules: Rules) -> Iterator[Check]:
    """Ask whether both models answer, and whether the candidate is not worse on all rows together."""
    yield _answers(pairs)
    estimate = _estimate(pairs, rules.metric, _sound(pairs))
    yield _compared(f"overall.{rules.metric}", estimate, rules, rules.margin, _z(rules.confidence), pairs)


def segments(pairs: Pairs, rules: Rules) -> Iterator[Check]:
    """Ask the same of every level of the segment columns; a loss has to be shown after Holm's correction."""
    sound = _sound(pairs)
    found = []
    for name, values in pairs.segments.items():
        words = np.array(["∅" if v is None or v != v else str(v) for v in values.tolist()], dtype=object)
        for level in sorted(set(words.tolist())):
            mask = sound & (words == level)
            if mask.any():
                found.append((f"{name}={level}", mask, _estimate(pairs, rules.metric, mask)))
    worse = _holm([_loss_p(e, _margin(e, rules.segment_margin)) for _, _, e in found], 1 - rules.confidence)
    for (name, mask, estimate), shown in zip(found, worse, strict=True):
        z = _z(rules.confidence)
        check = _compared(f"segment.{name}", estimate, rules, rules.segment_margin, z, pairs, segment=name)
        small = mask.sum() < rules.segment_share * sound.sum()
        status, says = check.status, check.says
        if check.status == "failed" and not shown:
            status, says = "not_shown", f"{check.says}; not shown after looking at {len(found)} segments"
        if status == "not_shown" and small:
            says += f"; a segment of {mask.mean():.1%} of the rows may be too small to tell"
        yield replace(check, status=status, says=says, allowed=check.allowed or (status == "not_shown" and bool(small)))


def calibration(pairs: Pairs, rules: Rules) -> Iterator[Check]:
    """Ask whether the candidate's scores mean what they say, or mean it no worse than the champion's."""
    if pairs.task != "binary" or not pairs.has_scores:
        return
    sound = _sound(pairs)
    label, sides = pairs.label[sound], [a.side.score[sound] for a in (pairs.candidate, pairs.champion)]
    margin = rules.calibration_margin
    rows = len(label)
    allowed = rules.allows("calibration")
    if rows < rules.min_rows:
        yield Check("calibration", "not_shown", f"{rows} rows are too few", rows=rows, allowed=allowed)
        return
    if any(side.min() < 0 or side.max() > 1 for side in sides):
        yield Check(
            "calibration",
            "not_shown",
            "the scores are no probabilities",
            rows=rows,
            allowed=rules.allows("calibration"),
        )
        return
    middle, low, high = paired.calibration(label, sides[0])
    champion, champion_low, champion_high = paired.calibration(label, sides[1])
    limit = max(margin, champion_high)
    status: Status = "passed" if high <= limit or middle <= max(margin / 2, champion) else "not_shown"
    if low > max(margin, champion_high):
        status = "failed"
    says = f"calibration error {middle:.3f} (champion {champion:.3f}); at most {max(margin, champion):.3f} is fine"
    numbers = (middle, champion, champion - middle, champion_low - high, champion_high - low, margin, rows)
    yield Check("calibration", status, says, *numbers, allowed=allowed)


def stability(pairs: Pairs, rules: Rules) -> Iterator[Check]:
    """Ask how both models bear inputs that are missing or far out: by calling them, or on the rows that are so."""
    models = pairs.candidate.model, pairs.champion.model
    if all(models):
        for what, changed in _perturbed(pairs).items():
            sides = [Side(np.asarray(m(changed), float).ravel(), _predicted(pairs, m, changed)) for m in models if m]
            fine = np.isfinite(sides[0].score) & np.isfinite(sides[1].score)
            lost = int((~np.isfinite(sides[0].score)).sum())
            first, second = (Side(s.score[fine], s.predicted[fine]) for s in sides)
            estimate = paired.compare(rules.metric, pairs.label[fine], first, second)
            check = _compared(f"stability.{what}", estimate, rules, rules.stability_margin, _z(rules.confidence), pairs)
            if lost:
                check = replace(
                    check, status="failed", says=f"no answer for {lost} of {len(fine)} rows with inputs {what}"
                )
            yield check
        return
    rows = len(pairs.label)
    for what, mask in (("missing", _missing(pairs.features, rows)), ("shifted", _far_out(pairs.features, rows))):
        estimate = _estimate(pairs, rules.metric, mask & _sound(pairs))
        check = _compared(f"stability.{what}", estimate, rules, rules.stability_margin, _z(rules.confidence), pairs)
        yield check


def operation(pairs: Pairs, rules: Rules, sizes: tuple[float, float] | None) -> Iterator[Check]:
    """Ask whether the candidate is as quick and as small as the champion, within the ratios of the rules."""
    first, second = pairs.candidate.latency_ms, pairs.champion.latency_ms
    if len(first) < LATENCIES or len(second) < LATENCIES:
        said = "no latencies of both models were given (a latency column, or models that can be called)"
        yield Check("latency", "not_shown", said, allowed=rules.allows("latency"))
    else:
        yield _latency(first, second, rules)
    if sizes is None:
        said = "no artifacts were named (--candidate-artifact, --champion-artifact)"
        yield Check("size", "not_shown", said, allowed=rules.allows("size"))
    else:
        ratio = sizes[0] / sizes[1]
        status: Status = "passed" if ratio <= rules.size_ratio else "failed"
        said = f"{sizes[0] / 1e6:.1f} MB, {ratio:.2f} times the champion's; at most {rules.size_ratio:g} times"
        yield Check("size", status, said, sizes[0], sizes[1], margin=rules.size_ratio)


def contract(pairs: Pairs, rules: Rules) -> Iterator[Check]:
    """Ask whether the inputs are what the contract says."""
    for name, wanted in rules.contract.items():
        broken = list(_breaches(pairs.features.get(name), wanted))
        status: Status = "failed" if broken else "passed"
        says = "; ".join(broken) or "as the contract says"
        yield Check(f"contract.{name}", status, says, rows=len(pairs.label))


def artifact_size(path: str, base: Path, key: str) -> float:
    """Return the bytes of a file or directory; TableError when there is none."""
    from sickbay.errors import TableError

    full = base / path
    if not full.exists():
        raise TableError(f"{key}: there is no file {path}", hint=f"looked for {full}")
    files = [full] if full.is_file() else [f for f in full.rglob("*") if f.is_file()]
    return float(max(1, sum(f.stat().st_size for f in files)))


def _answers(pairs: Pairs) -> Check:
    lost, before = int(pairs.candidate.failed.sum()), int(pairs.champion.failed.sum())
    rows = len(pairs.label)
    worse = lost - before
    # one failure in a thousand more than the champion's is a failure of the model, not of the data
    status: Status = "failed" if worse > max(2, 0.001 * rows) else "passed"
    if pairs.unmatched > 0.01 * (rows + pairs.unmatched):
        said = f"{pairs.unmatched:,} rows of the data have no answer on one side: the comparison leaves them out"
        return Check("answers", "failed", said, lost, before, rows=rows)
    return Check(
        "answers", status, f"no usable answer for {lost:,} rows (champion {before:,})", lost, before, rows=rows
    )


def _estimate(pairs: Pairs, metric: str, mask: Array) -> Estimate:
    sides = [Side(a.side.score[mask], a.side.predicted[mask]) for a in (pairs.candidate, pairs.champion)]
    group = None
    if pairs.group is not None:
        group = np.unique(pairs.group[mask], return_inverse=True)[1]
    if metric in NEEDS_SCORE and not pairs.has_scores:
        return Estimate(metric, math.nan, math.nan, math.nan, math.nan, int(mask.sum()), 0.0)
    return paired.compare(metric, pairs.label[mask], sides[0], sides[1], group)


def _compared(check: str, e: Estimate, rules: Rules, margin: float, z: float, pairs: Pairs, segment: str = "") -> Check:
    allowed = rules.allows(check)
    low, high = e.interval(z) if math.isfinite(e.gain) else (math.nan, math.nan)
    room = _margin(e, margin)
    fewest = FEWEST_OF_A_CLASS if e.metric == "auc" else rules.min_rows if not segment else FEWEST_OF_A_CLASS
    numbers = (e.candidate, e.champion, e.gain, low, high, room, e.rows, segment, allowed)
    if e.metric in NEEDS_SCORE and not pairs.has_scores:
        return Check(check, "not_shown", f"{e.metric} needs scores of both models", *numbers)
    if not math.isfinite(e.gain) or e.independent < fewest or (not segment and e.rows < rules.min_rows):
        return Check(check, "not_shown", f"{e.rows:,} rows are too few for {e.metric}", *numbers)
    told = f"{e.metric} {e.candidate:.4f}, champion {e.champion:.4f}: gain {e.gain:+.4f} ({low:+.4f} … {high:+.4f})"
    if high < -room:
        return Check(check, "failed", f"{told}: worse by more than {room:.4f}", *numbers)
    if rules.better and not segment and check.startswith("overall"):
        if low > 0:
            return Check(check, "passed", f"{told}: shown to be better", *numbers)
        return Check(check, "not_shown", f"{told}: not shown to be better, as the rules ask", *numbers)
    if low > -room:
        return Check(check, "passed", f"{told}: not worse by {room:.4f}", *numbers)
    return Check(check, "not_shown", f"{told}: a loss of {room:.4f} cannot be excluded", *numbers)


def _margin(e: Estimate, margin: float) -> float:
    return margin * abs(e.champion) if e.metric in RELATIVE else margin


def _loss_p(e: Estimate, room: float) -> float:
    """Return the p-value of "the loss is no more than the room there is"."""
    if not math.isfinite(e.gain) or e.error <= 0:
        return 1.0
    return float(norm.cdf((e.gain + room) / e.error))


def _holm(p_values: list[float], level: float) -> list[bool]:
    """Return which hypotheses fall under Holm's procedure (Holm 1979)."""
    shown = [False] * len(p_values)
    for place, i in enumerate(np.argsort(p_values)):
        if p_values[int(i)] > level / (len(p_values) - place):
            break
        shown[int(i)] = True
    return shown


def _latency(first: Array, second: Array, rules: Rules) -> Check:
    rng = np.random.default_rng(0)
    p95 = [float(np.quantile(side, 0.95)) for side in (first, second)]
    drawn = [
        np.quantile(rng.choice(first, len(first)), 0.95) / np.quantile(rng.choice(second, len(second)), 0.95)
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    ratio = p95[0] / p95[1]
    limit = rules.latency_ratio
    status: Status = "passed" if high <= limit else "failed" if low > limit else "not_shown"
    said = f"95 % within {p95[0]:.3g} ms, {ratio:.2f} times the champion's ({low:.2f} … {high:.2f}); at most {limit:g}"
    return Check(
        "latency", status, said, p95[0], p95[1], low=float(low), high=float(high), margin=limit, rows=len(first),
        allowed=rules.allows("latency"),
    )  # fmt: skip


def _perturbed(pairs: Pairs) -> dict[str, Mapping[str, Array]]:
    """Return the inputs with a tenth of the cells missing, and with every number a fifth of its spread further up."""
    rng = np.random.default_rng(0)
    missing, shifted = {}, {}
    for name, values in pairs.features.items():
        gone = rng.random(len(values)) < 0.1
        if values.dtype.kind in "iuf":
            numbers = values.astype(np.float64)
            missing[name] = np.where(gone, np.nan, numbers)
            shifted[name] = numbers + 0.2 * float(np.nanstd(numbers))
        else:
            missing[name] = values.astype(object)
            missing[name][gone] = None
            shifted[name] = values
    return {"missing": missing, "shifted": shifted}


def _predicted(pairs: Pairs, model: Any, features: Mapping[str, Array]) -> Array:
    scores = np.asarray(model(features), dtype=np.float64).ravel()
    return (scores >= 0.5).astype(np.float64) if pairs.task == "binary" else scores


def _missing(features: Mapping[str, Array], rows: int) -> Array:
    masks = [np.array([v is None or v != v for v in values.tolist()]) for values in features.values()]
    return np.any(masks, axis=0) if masks else np.zeros(rows, dtype=bool)


def _far_out(features: Mapping[str, Array], rows: int) -> Array:
    """Return the rows with a number among the outermost two percent of its column."""
    masks = []
    for values in features.values():
        if values.dtype.kind in "iuf" and np.isfinite(values).any():
            low, high = np.nanquantile(values.astype(np.float64), [0.01, 0.99])
            masks.append((values < low) | (values > high))
    return np.any(masks, axis=0) if masks else np.zeros(rows, dtype=bool)


def _breaches(values: Array | None, wanted: Any) -> Iterator[str]:
    if values is None:
        yield "the data has no such column"
        return
    plain = values.tolist()
    known = [v for v in plain if v is not None and v == v]
    nulls = 1 - len(known) / max(1, len(plain))
    if wanted.max_null_share is not None and nulls > wanted.max_null_share:
        yield f"{nulls:.2%} missing, at most {wanted.max_null_share:.2%}"
    numbers = [v for v in known if isinstance(v, int | float)]
    if wanted.type == "number" and len(numbers) < len(known):
        yield f"{len(known) - len(numbers)} values are no numbers"
    if wanted.type == "text" and numbers:
        yield f"{len(numbers)} values are numbers, not text"
    low, high = wanted.min, wanted.max
    below = [v for v in numbers if low is not None and v < low]
    above = [v for v in numbers if high is not None and v > high]
    if below:
        yield f"{len(below):,} values below the min of {low:g}, down to {min(below):g}"
    if above:
        yield f"{len(above):,} values above the max of {high:g}, up to {max(above):g}"
    if wanted.values is not None:
        other = {str(v) for v in known} - set(wanted.values)
        if other:
            yield f"values outside the list: {', '.join(sorted(other)[:5])}"
    if wanted.unique and len(set(known)) < len(known):
        yield f"{len(known) - len(set(known)):,} values repeat"


def _sound(pairs: Pairs) -> Array:
    return np.asarray(~(pairs.candidate.failed | pairs.champion.failed))


def _z(confidence: float) -> float:
    return float(norm.ppf(0.5 + confidence / 2))
