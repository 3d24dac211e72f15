from __future__ import annotations

import pytest

from sickbay.report import notebook
from tests.report import sample
from tests.report.test_html import Page


@pytest.mark.parametrize("name", sample.ALL)
def test_the_fragment_is_closed_and_escaped(name):
    page = Page(notebook.view(sample.ALL[name](), sample.GLOSSARY))
    assert page.open == []
    assert not page.all("script")


def test_the_notebook_shows_verdict_ranking_and_answers():
    notebook.attach()
    text = Page(sample.rich()._repr_html_() or "").text
    assert "Broken feature pipeline, very probably (94%)." in text
    assert "None of these" in text
    assert "Since when?" in text


def test_every_rule_is_scoped():
    style = notebook.view(sample.rich(), sample.GLOSSARY).partition("</style>")[0]
    rules = [line for line in style.splitlines() if "{" in line]
    assert rules
    assert all(line.startswith(".sickbay-view") for line in rules)
