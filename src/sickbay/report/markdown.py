"""A diagnosis as Markdown for a ticket: the same sentences as the other formats, in GitHub's tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sickbay.report import words
from sickbay.report.charts import distribution, series
from sickbay.report.glossary import Glossary
from sickbay.report.story import Observation, Story, tell
from sickbay.terms.diagnosis import Diagnosis
from sickbay.terms.evidence import Distribution, Exhibit, LogLines, Numbers, Rows, Series

ROWS = 15
_SPECIAL = re.compile(r"([\\`*\[\]<>|#~])")
_UNDERSCORE = re.compile(r"(?<!\w)_|_(?!\w)")


def render(diagnosis: Diagnosis, glossary: Glossary | None = None) -> str:
    """Return the report as Markdown; ``glossary`` defaults to everything registered."""
    story = tell(diagnosis, glossary)
    parts = (
        _head(story), _causes(story), _steps(story), _questions(story), _why(story), _evidence(story),
        _changes(story), _unexplained(story), _unmeasured(story), _again(story),
    )  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown and HTML show as it stands, on one line.

    >>> escape("a|b <b> *c* snake_case")
    'a\\\\|b \\\\<b\\\\> \\\\*c\\\\* snake_case'
    """
    line = " ".join(words.clean(text, 2000).split())
    return _UNDERSCORE.sub(r"\\_", _SPECIAL.sub(r"\\\1", line)).replace("://", ":\\//")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> list[str]:
    """Return a table; columns in ``numeric`` are set flush right, rows over the limit are counted."""
    marks = ["---:" if i in numeric else "---" for i in range(len(columns))]
    lines = [_row([escape(column) for column in columns]), _row(marks)]
    lines += [_row([escape(cell) for cell in row]) for row in rows[:ROWS]]
    return [*lines, "", f"and {words.count(len(rows) - ROWS, 'more row')}"] if len(rows) > ROWS else lines


def numeric_columns(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[int]:
    """Return the places of the columns that hold numbers only."""
    return [
        i for i in range(len(columns)) if all(isinstance(row[i], int | float | None) for row in rows if i < len(row))
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{words.clean(text, 120).replace('`', chr(0x2BC))}`" if text else ""


def _head(story: Story) -> list[str]:
    facts = [f"{name.lower()} {escape(said)}" for name, said in story.facts]
    caveats = [f"> {escape(caveat)}" for caveat in story.caveats]
    return [f"# {escape(story.verdict)}", "", *caveats, *([""] if caveats else []), " · ".join(facts)]


def _causes(story: Story) -> list[str]:
    if not story.hypotheses:
        return []
    rows = [(row.title, row.percent, row.says) for row in story.hypotheses]
    pairs = [f"\n{escape(words.sentence(pair))}" for pair in story.together]
    return [f"## {story.ranking}", "", *table(("Cause", "Probability", "What it is"), rows, (1,)), *pairs]


def _steps(story: Story) -> list[str]:
    lines = ["## What to do next", ""]
    if not story.steps:
        lines.append("No remedy is proposed, because no cause is believed enough to act on.")
    for index, step in enumerate(story.steps, 1):
        risk = f", risk: {escape(step.risk)}" if step.risk else ""
        cost = f". {escape(step.cost)}" if step.cost else ""
        lines.append(f"{index}. **{escape(step.says)}** Against {escape(words.lower_first(step.cause))}{risk}{cost}")
    if story.steps and (story.measure_next or story.prevention):
        lines.append("")
    for gap in story.measure_next:
        why = escape(words.lower_first(gap.why))
        lines.append(f"- Measure next: {escape(words.lower_first(gap.says))}: {why} {_code(gap.probe)}".rstrip())
    for _, says in story.prevention:
        lines.append(f"- Prevent: {escape(says)}")
    return lines


def _questions(story: Story) -> list[str]:
    if not story.replies:
        return []
    rows = [f"- **{escape(r.asks)}** {' '.join(escape(s) for s in r.says) or escape(r.why_not)}" for r in story.replies]
    return ["## Questions and answers", "", *rows]


def _why(story: Story) -> list[str]:
    if not story.reasons:
        return []
    columns = ("Finding", story.leader, *((story.rival,) if story.rival else ()))
    rows = [
        (r.says, words.log_odds(r.leader), *((words.log_odds(r.rival),) if r.rival is not None else ()))
        for r in story.reasons
    ]
    return ["## Why", "", *table(columns, rows, (1, 2)), "", words.LEDGER_LEGEND]


def _evidence(story: Story) -> list[str]:
    parts = [line for seen in story.shown for line in _observation(seen)]
    return ["## Evidence", *parts] if parts else []


def _observation(seen: Observation) -> list[str]:
    shown = [lines for exhibit in seen.exhibits if (lines := _exhibit(exhibit))]
    if not shown:
        return []
    lines = ["", f"### {escape(seen.says)}"]
    for exhibit in shown:
        lines += ["", *exhibit]
    return lines


def _exhibit(exhibit: Exhibit) -> list[str]:
    title = [f"**{escape(exhibit.title)}**", ""] if exhibit.title else []
    match exhibit:
        case Numbers(values=values) if values:
            return [*title, *table(("Quantity", "Value"), [(str(k), words.value(v)) for k, v in values.items()])]
        case Rows(columns=columns, rows=rows) if columns and rows:
            return [*title, *table(columns, words.cells(rows), numeric_columns(columns, rows))]
        case Series(times=times) if times:
            return [*title, escape(series.describe(exhibit))]
        case Distribution(labels=labels) if labels:
            return [*title, escape(distribution.describe(exhibit))]
        case LogLines(lines=lines) if lines:
            kept = ["    " + " ".join(words.clean(line).splitlines()) for line in lines[:ROWS]]
            more = ["", f"and {words.number(len(lines) - ROWS)} more lines"] if len(lines) > ROWS else []
            return [*title, *kept, *more]
    return []


def _changes(story: Story) -> list[str]:
    changes = sorted(story.diagnosis.changes, key=lambda change: words.moment(change.at))
    rows = [(words.moment(c.at), words.humanised(c.kind), f"{c.subject} {c.detail}".strip()) for c in changes]
    return ["## What changed", "", *table(("When", "What", "Which"), rows)] if rows else []


def _unexplained(story: Story) -> list[str]:
    if not story.unexplained:
        return []
    return ["## Found, but not explained by the leading cause", "", *(f"- {escape(s)}" for s in story.unexplained)]


def _unmeasured(story: Story) -> list[str]:
    title = ["## What was not measured, and why", ""]
    apart = ["", escape(story.elsewhere)] if story.elsewhere else []
    if story.gaps:
        rows = [(g.says, g.why, g.probe) for g in story.gaps]
        return [*title, *table(("Not known", "Why it is missing", "Probe"), rows), *apart]
    said = "Every finding that was asked for was measured." if story.observations else "No probe ran."
    return [*title, said, *apart]


def _again(story: Story) -> list[str]:
    return [escape(words.stopped(story.diagnosis)), "", "Run it again:", "", f"    {story.again}"]
