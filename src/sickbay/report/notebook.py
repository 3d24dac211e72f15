"""The notebook view: loading this module gives ``Diagnosis`` its ``_repr_html_``."""

from __future__ import annotations

from html import escape

from sickbay.report.glossary import Glossary
from sickbay.report.story import Story, tell
from sickbay.terms import diagnosis as nouns
from sickbay.terms.diagnosis import Diagnosis

FEW = 6

# Every rule starts at the class, so that the notebook around it keeps its look; colours are the notebook's own.
_STYLE = """<style>
.sickbay-view { max-width: 48rem; line-height: 1.45; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.sickbay-view .sickbay-verdict { font-size: 1.2em; font-weight: 600; margin: 0 0 .3em; }
.sickbay-view .sickbay-soft { opacity: .8; font-size: .9em; margin: .3em 0; }
.sickbay-view table { border-collapse: collapse; width: 100%; margin: .6em 0; }
.sickbay-view th, .sickbay-view td { text-align: left; font-weight: normal; padding: .2em .8em .2em 0; border: 0; }
.sickbay-view .sickbay-num { text-align: right; width: 3.5em; }
.sickbay-view .sickbay-track { width: 40%; }
.sickbay-view .sickbay-bar { height: .6em; min-width: 1px; background: currentColor; opacity: .75; }
.sickbay-view dt { font-weight: 600; margin-top: .4em; }
.sickbay-view dd { margin: 0 0 0 1em; }
</style>"""


def view(diagnosis: Diagnosis, glossary: Glossary | None = None) -> str:
    """Return a compact fragment: verdict, ranking, answers, first steps; the whole report is ``report.html.render``."""
    story = tell(diagnosis, glossary)
    parts = [
        _paragraph(story.verdict, "sickbay-verdict"),
        *(_paragraph(caveat) for caveat in story.caveats),
        _ranking(story),
        _answers(story),
        _steps(story),
        _paragraph(" · ".join(f"{name} {said}" for name, said in story.facts[2:]), "sickbay-soft"),
    ]
    return f'{_STYLE}<div class="sickbay-view">{"".join(parts)}</div>'


def _paragraph(said: str, kind: str = "") -> str:
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(said)}</p>"


def _ranking(story: Story) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(row.title)}</th><td class="sickbay-num">{escape(row.percent)}</td>'
        f'<td class="sickbay-track"><div class="sickbay-bar" style="width:{row.share * 100:.1f}%"></div></td></tr>'
        for row in story.hypotheses[:FEW]
    )
    more = len(story.hypotheses) - FEW
    return f"<table><tbody>{rows}</tbody></table>" + (
        _paragraph(f"and {more} more", "sickbay-soft") if more > 0 else ""
    )


def _answers(story: Story) -> str:
    items = "".join(
        f"<dt>{escape(reply.asks)}</dt>" + "".join(f"<dd>{escape(s)}</dd>" for s in reply.says or (reply.why_not,))
        for reply in story.replies
    )
    return f"<dl>{items}</dl>" if items else ""


def _steps(story: Story) -> str:
    items = "".join(f"<li>{escape(step.says)}</li>" for step in story.steps[:FEW])
    return f"{_paragraph('What to do next:')}<ol>{items}</ol>" if items else ""


def attach() -> None:
    """Let diagnoses show themselves in notebooks through ``view``."""
    nouns.notebook_view = view
