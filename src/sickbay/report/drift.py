"""A comparison of two tables as JSON, on a terminal, and as one HTML page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sickbay.report import words
from sickbay.terms.evidence import Distribution

if TYPE_CHECKING:
    from rich.console import Console

    from sickbay.stats.judging import Judged
    from sickbay.stats.profile import Column, Profile

SCHEMA = "sickbay.drift/1"
MEASURES = ("psi", "js", "ks", "wasserstein", "tv")
LEVELS_SHOWN = 12
BARS = 24


class Compared(Protocol):
    """What is reported: both profiles, the verdicts, and the practical size they were reached with."""

    @property
    def reference(self) -> Profile: ...  # noqa: D102

    @property
    def current(self) -> Profile: ...  # noqa: D102

    @property
    def columns(self) -> Sequence[Judged]: ...  # noqa: D102

    @property
    def practical(self) -> float: ...  # noqa: D102

    @property
    def notes(self) -> Sequence[str]: ...  # noqa: D102


def to_dict(compared: Compared) -> dict[str, Any]:
    """Return the comparison as plain JSON types, ``sickbay.drift/1``; a measure that does not apply is null."""
    return {
        "schema": SCHEMA,
        "reference": _side(compared.reference),
        "current": _side(compared.current),
        "practical_size": {"js": compared.practical},
        "drifted": sum(judged.drifted is True for judged in compared.columns),
        "columns": [_column(judged) for judged in compared.columns],
        "notes": list(compared.notes),
    }


def _side(profile: Profile) -> dict[str, Any]:
    return {"says": profile.says, "rows": int(profile.rows), "taken_at": profile.taken_at}


def _column(judged: Judged) -> dict[str, Any]:
    body: dict[str, Any] = {"name": judged.name, "kind": judged.kind}
    for name in MEASURES:
        body[name] = _known(getattr(judged.measures, name, math.nan))
        body[f"{name}_error"] = _known(getattr(judged.measures, f"{name}_error", math.nan))
    body["chi2"] = _known(getattr(judged.measures, "chi2", math.nan))
    body["degrees"] = getattr(judged.measures, "degrees", None)
    body["p_value"] = _known(getattr(judged.measures, "p_value", math.nan))
    body["nulls"] = [_share(judged.reference, "nulls"), _share(judged.current, "nulls")]
    body["nan"] = [_share(judged.reference, "nans"), _share(judged.current, "nans")]
    body["infinite"] = [_share(judged.reference, "infinite"), _share(judged.current, "infinite")]
    body["rows"] = [int(side.rows) if side is not None else None for side in (judged.reference, judged.current)]
    body["mean"] = [_known(side.mean) if side is not None else None for side in (judged.reference, judged.current)]
    body["drifted"] = judged.drifted
    body["because"] = judged.because
    body["quality"] = list(judged.quality)
    return body


def _share(column: Column | None, what: str) -> float | None:
    return None if column is None else column.share_of(getattr(column, what))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def verdict(judged: Judged) -> str:
    """Return the verdict as one word."""
    return {True: "drifted", False: "steady", None: "unknown"}[judged.drifted]


def ordered(compared: Compared) -> list[Judged]:
    """Return the columns, what needs attention first."""
    rank = {True: 0, None: 1, False: 2}
    return sorted(compared.columns, key=lambda j: (rank[j.drifted], not j.quality, -_size(j)))


def _size(judged: Judged) -> float:
    js = getattr(judged.measures, "js", math.nan)
    return 0.0 if math.isnan(js) else float(js)


def headline(compared: Compared) -> str:
    """Return the whole comparison as one sentence."""
    counted = [sum(j.drifted is which for j in compared.columns) for which in (True, False, None)]
    parts = [f"{counted[0]} of {len(compared.columns)} columns drifted", f"{counted[1]} steady"]
    if counted[2]:
        parts.append(f"{counted[2]} cannot be told")
    return ", ".join(parts)


def print_comparison(compared: Compared, console: Console) -> None:
    """Print one line a column, what needs attention first, with reasons and changes of quality below."""
    from rich.table import Table

    console.print(headline(compared), style="bold")
    for name, side in (("reference", compared.reference), ("current", compared.current)):
        console.print(f"  {name:<10} {words.number(int(side.rows))} rows  {words.clean(side.says, 100)}")
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title, place in (("column", "left"), ("verdict", "left"), ("PSI", "right"), ("JS", "right"), ("KS", "right"),
                        ("nulls", "right")):  # fmt: skip
        table.add_column(title, justify="right" if place == "right" else "left", no_wrap=True, overflow="ellipsis")
    style = {True: "bold red", None: "yellow", False: ""}
    for judged in ordered(compared):
        cells = [words.clean(judged.name, 30), verdict(judged), *(_cell(judged, m) for m in ("psi", "js", "ks"))]
        table.add_row(*cells, _nulls(judged), style=style[judged.drifted])
    console.print(table)
    said = [(j, line) for j in ordered(compared) for line in _lines(j)]
    if said:
        console.print()
    for judged, line in said:
        console.print(f"  {words.clean(judged.name, 40)}: {words.clean(line, 160)}")
    for note in compared.notes:
        console.print(f"  note: {words.clean(note, 200)}")
    console.print(
        f"\nPractical size: a Jensen–Shannon distance of {compared.practical:g}. ± is one standard error.", style="dim"
    )


def _lines(judged: Judged) -> list[str]:
    reasons = [] if judged.drifted is False else [judged.because]
    return [*reasons, *(q for q in judged.quality if q not in reasons)]


def _cell(judged: Judged, name: str) -> str:
    value, error = getattr(judged.measures, name, math.nan), getattr(judged.measures, f"{name}_error", math.nan)
    return "–" if math.isnan(value) else f"{value:.3f} ±{error:.3f}"


def _nulls(judged: Judged) -> str:
    shares = [_share(side, "nulls") for side in (judged.reference, judged.current)]
    return " → ".join("–" if share is None else f"{share:.1%}" for share in shares)


def page(compared: Compared) -> str:
    """Return the comparison as one HTML page that opens offline."""
    from sickbay.report import html

    columns = ("Column", "Verdict", "PSI", "JS", "KS", "Wasserstein", "Nulls", "What is to be said")
    rows = [
        (
            j.name,
            verdict(j),
            *(_cell(j, m) for m in ("psi", "js", "ks", "wasserstein")),
            _nulls(j),
            "; ".join(_lines(j)),
        )
        for j in ordered(compared)
    ]
    figures = [
        (j, html.figure(_distribution(j.reference, j.current)))
        for j in ordered(compared)
        if j.reference is not None and j.current is not None and j.drifted is not False
    ]
    return html.setup(
        "drift.html.j2", compared=compared, headline=headline(compared), verdict=verdict,
        table=html.table("Every column, what needs attention first", columns, rows, limit=2000), figures=figures,
    )  # fmt: skip


def _distribution(before: Column, now: Column) -> Distribution:
    if before.edges is None:
        top = [int(i) for i in (-(before.shares + now.shares)).argsort()[:LEVELS_SHOWN]]
        labels = [before.levels[i] if i < len(before.levels) else "all others" for i in top]
        picked = [[float(side.shares[i]) for i in top] for side in (before, now)]
        return Distribution(tuple(labels), tuple(picked[0]), tuple(picked[1]), before.name)
    groups = [list(part) for part in _evenly(len(before.counts), BARS)]
    edges = before.edges
    labels = [f"≤ {edges[part[-1]]:.4g}" if part[-1] < len(edges) else f"> {edges[-1]:.4g}" for part in groups]
    first, second = ([float(side.shares[part].sum()) for part in groups] for side in (before, now))
    return Distribution(tuple(labels), tuple(first), tuple(second), before.name)


def _evenly(count: int, parts: int) -> list[range]:
    """Return ``count`` bins in at most ``parts`` runs of about equal length."""
    parts = min(count, parts)
    bounds = [round(i * count / parts) for i in range(parts + 1)]
    return [range(a, b) for a, b in itertools.pairwise(bounds)]


def profile_lines(profile: Profile) -> list[Mapping[str, str]]:
    """Return one mapping of texts per column of a profile, for a plain table."""
    return [
        {
            "column": c.name,
            "kind": c.kind,
            "nulls": f"{c.share_of(c.nulls):.1%}",
            "distinct": "–" if math.isnan(c.distinct) else f"{c.distinct:,.0f}",
            "values": _values(c),
        }
        for c in profile.columns.values()
    ]


def _values(column: Column) -> str:
    if column.filled <= 0:
        return "no value"
    if column.kind == "number":
        middle = [column.quantile(level) for level in (0.05, 0.5, 0.95)]
        return f"{column.low:.4g} … {column.high:.4g}, median {middle[1]:.4g} ({middle[0]:.4g} … {middle[2]:.4g})"
    top = [f"{level} {share:.0%}" for level, share in zip(column.levels[:4], column.shares[:4], strict=False)]
    return ", ".join(top)
