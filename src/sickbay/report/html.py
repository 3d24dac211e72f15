"""A diagnosis as one HTML file: nothing comes from elsewhere and no script runs, so it opens offline, years later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sickbay.report import words
from sickbay.report.charts import distribution, ledger, series
from sickbay.report.glossary import Glossary
from sickbay.report.story import Observation, tell
from sickbay.terms.diagnosis import Diagnosis
from sickbay.terms.evidence import Distribution, Exhibit, LogLines, Numbers, Rows, Series

if TYPE_CHECKING:
    from jinja2 import Environment

ROWS = 50
"""Rows of a table that are printed; the rest is counted."""
_FILES = files("sickbay.report") / "templates"


@dataclass(frozen=True, slots=True)
class Table:
    """A table ready to be set: text only, with what was left out counted."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int
    numeric: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One exhibit ready to be set: a picture with its table, a table alone, or log lines."""

    title: str
    picture: str = ""
    table: Table | None = None
    lines: tuple[str, ...] = ()
    more: int = 0


def render(diagnosis: Diagnosis, glossary: Glossary | None = None) -> str:
    """Return the whole page; ``glossary`` defaults to everything registered."""
    story = tell(diagnosis, glossary)
    names = (story.leader, story.rival)
    full = ledger.reach([amount for reason in story.reasons for amount in (reason.leader, reason.rival)])
    return setup(
        "diagnosis.html.j2",
        story=story,
        diagnosis=story.diagnosis,
        bars=[ledger.draw(reason.leader, reason.rival, full, names) for reason in story.reasons],
        shown=[(seen, figures(seen)) for seen in story.shown],
        folded=[(seen, figures(seen)) for seen in story.folded],
    )


def setup(template: str, **content: Any) -> str:
    """Return a page set from one of the templates, with the house's style and words."""
    style = (_FILES / "diagnosis.css").read_text(encoding="utf-8")
    return _environment().get_template(template).render(style=style, words=words, **content)


def figures(seen: Observation) -> list[Figure]:
    """Return what a finding has to show; an exhibit without content is left out."""
    return [figure_ for exhibit in seen.exhibits if (figure_ := figure(exhibit)) is not None]


def table(caption: str, columns: Sequence[object], rows: Sequence[Sequence[object]], limit: int = ROWS) -> Table:
    """Return a table of texts, at most ``limit`` rows of it; a column is numeric when all its known values are."""
    kept = [tuple(row) for row in rows[:limit]]
    numeric = tuple(
        any(_is_number(row[i]) for row in kept if i < len(row))
        and all(row[i] is None or _is_number(row[i]) for row in kept if i < len(row))
        for i in range(len(columns))
    )
    return Table(
        words.clean(caption, 200),
        tuple(words.clean(column, 120) for column in columns),
        tuple(words.cells(kept)),
        max(0, len(rows) - limit),
        numeric,
    )


def figure(exhibit: Exhibit) -> Figure | None:
    """Return one exhibit ready to be set; None when there is nothing in it."""
    title = words.clean(exhibit.title, 200)
    match exhibit:
        case Numbers(values=values):
            return Figure(title, table=table(title, ("Quantity", "Value"), list(values.items()))) if values else None
        case Rows(columns=columns, rows=rows):
            return Figure(title, table=table(title, columns, rows)) if columns and rows else None
        case Series():
            return _over_time(exhibit, title)
        case Distribution():
            bins = distribution.shares(exhibit)
            shares = [(label, words.share(before), words.share(now)) for label, before, now in bins]
            data = table(title or "Distribution", ("Bin", "Baseline", "Current"), shares)
            return Figure(title, distribution.draw(exhibit), data) if bins else None
        case LogLines(lines=lines):
            kept = tuple(words.clean(line) for line in lines[:ROWS])
            return Figure(title, lines=kept, more=max(0, len(lines) - ROWS)) if lines else None


def _over_time(exhibit: Series, title: str) -> Figure | None:
    if not exhibit.times or not exhibit.lines:
        return None
    names = [line.name for line in exhibit.lines]
    rows = [
        (at, *(line.values[i] if i < len(line.values) else None for line in exhibit.lines))
        for i, at in enumerate(exhibit.times)
    ]
    return Figure(title, series.draw(exhibit), table(title or "Over time", ("Time", *names), rows, 200))


def _is_number(cell: Any) -> bool:
    return (isinstance(cell, int | float) and not isinstance(cell, bool)) or hasattr(cell, "dtype")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(lambda name: (_FILES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["trusted"] = Markup  # SVG of report/charts, which escape what they are given; nothing else
    return environment
