"""A diagnosis on a terminal 80 columns wide: readable without colour, harmless whatever the names in it contain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from sickbay.report import words
from sickbay.report.glossary import Glossary
from sickbay.report.story import Gap, Observation, Story, measured, tell
from sickbay.terms.diagnosis import Diagnosis
from sickbay.terms.evidence import Numbers, Rows

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

BAR = 20
FEW, SOME = 6, 12
"""Lines of an exhibit, and entries of a list, before the rest is counted."""


def console(stream: IO[str], environ: Mapping[str, str]) -> Console:
    """Return a console for the stream: colours only on a terminal and without ``NO_COLOR``; 80 columns when piped."""
    from rich.console import Console

    tty = stream.isatty()
    return Console(
        file=stream,
        width=None if tty else 80,
        no_color=bool(environ.get("NO_COLOR")) or not tty,
        force_terminal=None if tty else False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def print_diagnosis(diagnosis: Diagnosis, console: Console, glossary: Glossary | None = None) -> None:
    """Print the report on a rich console; ``glossary`` defaults to everything registered."""
    story = tell(diagnosis, glossary)
    parts: tuple[Callable[[Story, Console], None], ...] = (
        _head, _causes, _questions, _why, _evidence, _changes, _unexplained, _unmeasured, _steps, _foot,
    )  # fmt: skip
    if console.is_terminal:
        for part in parts:
            part(story, console)
        return
    with console.capture() as captured:  # rich fills lines with blanks, which would end up in files and tickets
        for part in parts:
            part(story, console)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def bar(share: float, width: int = BAR, *, plain: bool = False) -> str:
    """Return a bar of ``width`` cells; a share above nothing shows at least one; ``plain`` is for ASCII terminals.

    >>> bar(0.5, 8), bar(0.001, 8), bar(0.5, 8, plain=True)
    ('████····', '█·······', '####....')
    """
    full = max(round(share * width), 1 if share > 0 else 0)
    return ("#" if plain else "█") * full + ("." if plain else "·") * (width - full)


def _text(said: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(said, style=style)


def _grid(*columns: tuple[str, bool]) -> Table:
    """Return a table without lines; each column is (``left`` or ``right``, whether it takes the remaining width)."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0), expand=any(wide for _, wide in columns))
    for justify, wide in columns:
        table.add_column(
            justify="right" if justify == "right" else "left",
            ratio=1 if wide else None,
            no_wrap=not wide,
            overflow="fold" if wide else "ellipsis",
        )
    return table


def _section(console: Console, title: str) -> None:
    console.print()
    line = "-" if _plain(console) else "─"
    console.print(_text(f"{line * 2} {title} ", "bold") + _text(line * max(0, console.width - len(title) - 4), "dim"))


def _plain(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")


def _head(story: Story, console: Console) -> None:
    console.print(_text(story.verdict, "bold"))
    for caveat in story.caveats:
        console.print(_text(f"! {caveat}"))
    facts = dict(story.facts)
    coverage = facts["Coverage"].partition(" ")[0]
    line = f"{facts['Started']} · took {facts['Took']} · measured {facts['Measured']} · coverage {coverage}"
    console.print(_text(line, "dim"))


def _causes(story: Story, console: Console) -> None:
    if not story.hypotheses:
        return
    _section(console, story.ranking)
    table = _grid(("left", False), ("right", False), ("left", True))
    for index, row in enumerate(story.hypotheses[:SOME]):
        leads = index == 0 and bool(row.id)
        style = "bold" if leads else ""
        drawn = bar(row.share, plain=_plain(console))
        table.add_row(_text(drawn, "cyan" if leads else ""), _text(row.percent, style), _text(row.title, style))
    console.print(table)
    if len(story.hypotheses) > SOME:
        console.print(_text(f"and {len(story.hypotheses) - SOME} more", "dim"))
    if story.hypotheses[0].id and measured(story.diagnosis):
        console.print(_text(f"{story.hypotheses[0].title}: {words.lower_first(story.hypotheses[0].says)}"))
    for pair in story.together:
        console.print(_text(words.sentence(pair)))


def _questions(story: Story, console: Console) -> None:
    if not story.replies:
        return
    _section(console, "Questions and answers")
    for reply in story.replies:
        console.print(_text(reply.asks, "bold"))
        for says in reply.says or (reply.why_not,):
            _item(console, "  ", says)


def _why(story: Story, console: Console) -> None:
    if not story.reasons:
        return
    _section(console, "Why")
    heads = f"A: {story.leader}" + (f"   B: {story.rival} (runner-up)" if story.rival else "")
    console.print(_text(heads))
    table = _grid(("right", False), ("right", False), ("left", True))
    table.add_row(_text("A", "bold"), _text("B" if story.rival else "", "bold"), _text(""))
    for reason in story.reasons[:SOME]:
        rival = "" if reason.rival is None else words.log_odds(reason.rival)
        table.add_row(_text(words.log_odds(reason.leader), "bold"), _text(rival), _text(reason.says))
    console.print(table)
    if len(story.reasons) > SOME:
        console.print(_text(f"and {len(story.reasons) - SOME} smaller terms", "dim"))
    console.print(_text(words.LEDGER_LEGEND, "dim"))


def _evidence(story: Story, console: Console) -> None:
    tables = [(seen, e) for seen in story.shown for e in seen.exhibits if isinstance(e, Rows | Numbers)]
    if not tables:
        return
    _section(console, "Evidence")
    for index, (seen, exhibit) in enumerate(tables[:FEW]):
        if index:
            console.print()
        _exhibit(console, seen, exhibit)
    pictures = sum(len(seen.exhibits) for seen in (*story.shown, *story.folded)) - len(tables[:FEW])
    if pictures:
        console.print(_text(f"{words.count(pictures, 'more exhibit')} in the HTML report (--html FILE)", "dim"))


def _exhibit(console: Console, seen: Observation, exhibit: Rows | Numbers) -> None:
    from rich.table import Table

    if isinstance(exhibit, Numbers):
        columns: tuple[object, ...] = ("", "")
        rows: list[tuple[object, ...]] = list(exhibit.values.items())
    else:
        columns, rows = exhibit.columns[:6], [row[:6] for row in exhibit.rows]
    if not rows or not columns:
        return
    console.print(_text(words.clean(exhibit.title or seen.says, 150), "bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=any(columns), header_style="dim")
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float | None) for row in rows[:FEW] if i < len(row))
        table.add_column(_text(words.clean(column, 40)), justify="right" if numeric else "left", overflow="fold")
    for row in words.cells(rows[:FEW]):
        table.add_row(*(_text(words.clean(cell, 80)) for cell in row))
    console.print(table)
    if len(rows) > FEW:
        console.print(_text(f"and {words.count(len(rows) - FEW, 'more row')}", "dim"))


def _changes(story: Story, console: Console) -> None:
    if not story.diagnosis.changes:
        return
    _section(console, "What changed")
    table = _grid(("left", False), ("left", True))
    for change in sorted(story.diagnosis.changes, key=lambda c: words.moment(c.at))[:SOME]:
        said = f"{words.humanised(change.kind)}: {words.clean(change.subject, 120)}"
        detail = f" ({words.clean(change.detail, 120)})" if change.detail else ""
        table.add_row(_text(words.moment(change.at)), _text(said + detail))
    console.print(table)


def _unexplained(story: Story, console: Console) -> None:
    if story.unexplained:
        _section(console, "Found, but not explained by the leading cause")
        _items(console, [*story.unexplained])


def _unmeasured(story: Story, console: Console) -> None:
    _section(console, "Not measured, and why")
    if story.gaps:
        _items(console, by_reason(story.gaps))
    elif story.diagnosis.findings:
        console.print(_text("Every finding that was asked for was measured."))
    else:
        console.print(_text("No probe ran."))
    if story.elsewhere:
        _items(console, [story.elsewhere])


def by_reason(gaps: Sequence[Gap]) -> list[str]:
    """Return one line per reason: forty findings that miss the same column are one thing to repair, not forty."""
    reasons: dict[str, list[Gap]] = {}
    for gap in gaps:
        reasons.setdefault(gap.why, []).append(gap)
    lines = []
    for why, same in reasons.items():
        if len(same) == 1:
            lines.append(f"{same[0].says}: {words.lower_first(why)}")
            continue
        named = [words.lower_first(gap.says) for gap in same[:3]]
        more = [f"{len(same) - 3} more"] if len(same) > 3 else []
        lines.append(f"{why} This leaves open {words.listed([*named, *more])}.")
    return lines


def _steps(story: Story, console: Console) -> None:
    _section(console, "What to do next")
    if not story.steps:
        console.print(_text("No remedy is proposed, because no cause is believed enough to act on."))
    for index, step in enumerate(story.steps, 1):
        _item(console, f"{index}. ", step.says)
        about = [f"against {words.lower_first(step.cause)}", f"risk {words.clean(step.risk, 40)}" if step.risk else ""]
        said = ", ".join(part for part in about if part) + (f". {step.cost}" if step.cost else "")
        _item(console, "   ", said[:1].upper() + said[1:], "dim")
    for gap in story.measure_next:
        probe = f" ({words.clean(gap.probe, 80)})" if gap.probe else ""
        _item(console, "Measure next: ", words.lower_first(gap.says) + probe)
    for _, says in story.prevention:
        _item(console, "Prevent: ", says)


def _foot(story: Story, console: Console) -> None:
    console.print()
    console.print(_text(words.stopped(story.diagnosis)))
    console.print(_text("Again: ", "dim") + _text(story.again), soft_wrap=True)


def _items(console: Console, items: list[str]) -> None:
    for said in items[:SOME]:
        _item(console, "- ", said)
    if len(items) > SOME:
        console.print(_text(f"and {words.number(len(items) - SOME)} more", "dim"))


def _item(console: Console, lead: str, said: str, style: str = "") -> None:
    from rich.padding import Padding

    if len(lead) > 3:  # a word, not a bullet: no hanging indent, it would leave half the line empty
        console.print(_text(lead, "bold") + _text(said, style) if lead.strip() else Padding(_text(said), (0, 0, 0, 2)))
        return
    table = _grid(("left", False), ("left", True))
    table.padding = (0, 0, 0, 0)
    table.add_row(_text(lead), _text(said, style))
    console.print(table)
