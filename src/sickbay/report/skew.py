"""Two sides of features as JSON, on a terminal, as one HTML page, and in a notebook."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from sickbay.report import words
from sickbay.terms.wire import plain

if TYPE_CHECKING:
    from rich.console import Console

    from sickbay.stats.skew.explanation import Explanation
    from sickbay.stats.skew.report import FeatureSkew, SkewReport

SCHEMA = "sickbay.skew/1"
FEW = 40
"""Features without a difference that are named one by one on a terminal."""


def to_dict(report: SkewReport) -> dict[str, Any]:
    """Return the report as plain JSON types, ``sickbay.skew/1``; a share that is not known is null."""
    sides = report.sides
    return {
        "schema": SCHEMA,
        "says": dict(report.says),
        "rows": {
            "matched": sides.matched, "offline_only": sides.offline_only, "online_only": sides.online_only,
            "offline": sides.offline_rows, "online": sides.online_rows,
            "offline_duplicated": sides.offline_duplicated, "online_duplicated": sides.online_duplicated,
            "offline_keyless": sides.offline_keyless, "online_keyless": sides.online_keyless,
        },
        "sampled": _sampled(report),
        "skewed": len(report.skewed),
        "features": [_feature(feature) for feature in report.features],
        "notes": list(report.notes),
    }  # fmt: skip


def _sampled(report: SkewReport) -> dict[str, Any] | None:
    """Return what part of two engines' rows was compared, and how many of all meet none; null where all were."""
    sampled = report.sampled
    if sampled is None:
        return None
    made: dict[str, Any] = {"engines": list(sampled.engines), "key": sampled.key, "share": sampled.share}
    sides = ("offline", "online")
    made["keys_of"] = None if sampled.keys_of is None else sides[sampled.keys_of]
    for i, side in enumerate(sides):
        made[side] = {"rows": sampled.rows[i], "compared": sampled.carried[i]}
        if side == "online" or sampled.equal:
            about, low, high = sampled.alone(i, report.sides)
            made[side] |= {"only": about, "only_interval": [low, high]}
    return made


def _feature(feature: FeatureSkew) -> dict[str, Any]:
    counts, explained = feature.counts, feature.explained
    return {
        "name": feature.name,
        "kind": counts.kind,
        "types": list(counts.types),
        "pairs": counts.pairs,
        "mismatched": counts.mismatched,
        "mismatch_share": _known(feature.mismatch_share),
        "interval": list(feature.interval) if counts.pairs else None,
        "skewed": feature.skewed,
        "unknown": feature.unknown or None,
        "explanations": [_explanation(one) for one in feature.explanations],
        "would_separate": list(explained.would_separate),
        "noise_share": _known(explained.noise_share),
        "nulls": [counts.offline_null, counts.online_null],
        "first_mismatch": _moment(counts.first),
        "last_mismatch": _moment(counts.last),
        "entities": counts.entities,
        "segments": plain(feature.segments),
        "examples": [
            {"entity": plain(who), "time": _moment(when), "offline": plain(a), "online": plain(b)}
            for who, when, a, b in explained.examples
        ],
        "notes": [*([counts.note] if counts.note else []), *explained.notes],
    }


def _explanation(one: Explanation) -> dict[str, Any]:
    return {
        "hypothesis": one.hypothesis,
        "parameters": plain(one.parameters),
        "coverage": one.coverage,
        "side": one.side,
        "bits": one.bits,
        "says": one.says,
        "fix": one.fix,
        "rivals": list(one.rivals),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(seconds: float | None) -> str | None:
    if seconds is None or not math.isfinite(seconds) or abs(seconds) > 2e11:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def verdict(feature: FeatureSkew) -> str:
    """Return the verdict as one word."""
    if feature.skewed and not feature.explanations:
        return "unexplained"
    return {True: "skewed", False: "agrees", None: "unknown"}[feature.skewed]


def ordered(report: SkewReport) -> list[FeatureSkew]:
    """Return the features, what needs attention first."""
    rank = {True: 0, None: 1, False: 2}
    return sorted(report.features, key=lambda f: (rank[f.skewed], -f.mismatch_share if f.counts.pairs else 0.0))


def headline(report: SkewReport) -> str:
    """Return the whole comparison as one sentence."""
    counted = [sum(f.skewed is which for f in report.features) for which in (True, False, None)]
    explained = sum(bool(f.explanations) for f in report.skewed)
    if not report.features:
        return "nothing was compared: no column but the keys is on both sides"
    parts = [f"{counted[0]} of {len(report.features)} features differ between training and serving"]
    if counted[0]:
        parts.append(f"{explained} of them explained" if explained < counted[0] else "all of them explained")
    if counted[2]:
        parts.append(f"{counted[2]} could not be compared")
    return ", ".join(parts)


def rows_said(report: SkewReport) -> str:
    """Return in words how many rows met."""
    sides = report.sides
    said = f"{words.number(sides.matched)} rows meet"
    alone = [(sides.offline_only, "offline"), (sides.online_only, "online")]
    return said + "".join(f", {words.number(n)} only {side}" for n, side in alone if n)


def lines(feature: FeatureSkew) -> list[str]:
    """Return in words what is to be said of a feature."""
    said = [feature.unknown] if feature.unknown else []
    for one in feature.explanations:
        said.append(f"{one.hypothesis} ({words.percent(one.coverage)} of the mismatches): {one.says}. {one.fix}")
        if one.rivals:
            said.append(f"these data cannot tell it from {', '.join(one.rivals)}")
    if feature.skewed and not feature.explanations:
        said.append("no rule turns one side into the other")
    if feature.explained.would_separate:
        said.append(f"would tell more: {'; '.join(feature.explained.would_separate)}")
    said += [feature.counts.note] if feature.counts.note else []
    return said + list(feature.explained.notes)


def share(feature: FeatureSkew) -> str:
    """Return the mismatch share with its interval."""
    if not feature.counts.pairs:
        return "–"
    low, high = feature.interval
    return f"{feature.mismatch_share:.2%} ({low:.2%}…{high:.2%})"


def print_report(report: SkewReport, console: Console) -> None:
    """Print one line a feature, what needs attention first, with the explanation below."""
    from rich.table import Table

    console.print(headline(report), style="bold")
    for role, said in report.says.items():
        console.print(f"  {role:<8} {words.clean(said, 100)}")
    console.print(f"  {rows_said(report)}\n")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("feature", "verdict", "mismatches (95 %)", "why"):
        table.add_column(title, no_wrap=title != "why", overflow="ellipsis")
    style = {True: "bold red", None: "yellow", False: ""}
    listed = ordered(report)
    shown = [f for f in listed if f.skewed is not False][: 5 * FEW] + [f for f in listed if f.skewed is False][:FEW]
    for feature in shown:
        why = ", ".join(f"{e.hypothesis} {words.percent(e.coverage)}" for e in feature.explanations)
        cells = [words.clean(feature.name, 30), verdict(feature), share(feature), why or "–"]
        table.add_row(*cells, style=style[feature.skewed])
    console.print(table)
    if len(shown) < len(listed):
        console.print(f"  and {words.number(len(listed) - len(shown))} more features")
    alike = {why for why, n in Counter(f.unknown for f in listed if f.unknown).items() if n > 1}
    for why in sorted(alike):
        names = [f.name for f in listed if f.unknown == why]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        console.print(f"\n  {words.clean(', '.join(names[:5]), 200)}{more}: {words.clean(why, 400)}")
    for feature in shown:
        for said in lines(feature):
            if said in alike:
                continue
            console.print(f"\n  {words.clean(feature.name, 40)}: {words.clean(said, 400)}")
    for note in report.notes:
        console.print(f"  note: {words.clean(note, 200)}")


def page(report: SkewReport) -> str:
    """Return the report as one HTML page that opens offline."""
    from sickbay.report import html

    rows = [
        (
            f.name,
            verdict(f),
            share(f),
            ", ".join(e.hypothesis for e in f.explanations) or "–",
            " → ".join(f.counts.types),
        )
        for f in ordered(report)
    ]
    columns = ("Feature", "Verdict", "Mismatches (95 %)", "Why", "Types, offline → online")
    sections = [
        {
            "feature": f, "verdict": verdict(f), "share": share(f), "explanations": f.explanations,
            "facts": facts(f), "lines": [f.unknown] * bool(f.unknown) + list(f.explained.notes),
            "examples": html.table("Five rows", ("Entity", "Time", "Offline", "Online"), _examples(f)),
            "segments": [html.table(f"By {n}", ("Level", "Of the mismatches", "Of the equal pairs"), _levels(levels))
                         for n, levels in f.segments.items()],
        }
        for f in ordered(report)
        if f.skewed is not False
    ]  # fmt: skip
    return html.setup(
        "skew.html.j2", report=report, headline=headline(report), rows_said=rows_said(report), sections=sections,
        table=html.table("Every feature, what needs attention first", columns, rows, limit=3000),
    )  # fmt: skip


def facts(feature: FeatureSkew) -> list[tuple[str, str]]:
    """Return what is known about where and when a feature differs, as names and texts."""
    counts = feature.counts
    said = [("Mismatching pairs", f"{words.number(counts.mismatched)} of {words.number(counts.pairs)}")]
    if counts.first is not None:
        said.append(("First and last", f"{_moment(counts.first)} … {_moment(counts.last)}"))
    if counts.entities is not None:
        said.append(("Entities concerned", words.number(counts.entities)))
    if counts.offline_null or counts.online_null:
        said.append(
            ("Missing", f"{words.number(counts.offline_null)} offline, {words.number(counts.online_null)} online")
        )
    return said


def _examples(feature: FeatureSkew) -> list[tuple[object, ...]]:
    """Return the example rows as texts, numbers in full: rounding would hide what is to be shown."""
    return [
        ("–" if who is None else str(who), _moment(when) or "–", _full(a, feature, 0), _full(b, feature, 1))
        for who, when, a, b in feature.explained.examples
    ]


def _full(value: object, feature: FeatureSkew, side: int) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float) and feature.counts.kind == "time":
        return _moment(value) or repr(value)
    if isinstance(value, float) and feature.counts.kind == "boolean":
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and "INT" in feature.counts.types[side].upper():
        return f"{value:.0f}"  # pairs are carried as floats
    return repr(value)


def _levels(levels: Mapping[str, tuple[float, float]]) -> list[tuple[object, ...]]:
    return [(level, words.percent(of[0]), words.percent(of[1])) for level, of in levels.items()]


def view(report: SkewReport) -> str:
    """Return a compact fragment for notebooks: the verdict, and a row per feature that needs attention."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(words.clean(f.name, 60))}</th><td>{escape(verdict(f))}</td>"
        f"<td>{escape(share(f))}</td><td>{escape('; '.join(lines(f)))}</td></tr>"
        for f in ordered(report)[:FEW]
    )
    return (
        f"<div class='sickbay-view'><p><b>{escape(headline(report))}</b></p><p>{escape(rows_said(report))}</p>"
        f"<table><tbody>{rows}</tbody></table></div>"
    )


def attach() -> None:
    """Let reports of two sides show themselves in notebooks through ``view``."""
    from sickbay.stats.skew import report

    report.notebook_view = view
