from __future__ import annotations

import re

import pytest

from sickbay.report import markdown
from tests.report import sample


def rendered(name: str) -> str:
    return markdown.render(sample.ALL[name](), sample.GLOSSARY)


@pytest.mark.parametrize("name", sample.ALL)
def test_tables_are_whole(name):
    block: list[int] = []
    for line in rendered(name).splitlines():
        if line.startswith("|"):
            block.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(block)) <= 1
            block = []


def test_the_sections_of_the_other_formats_are_there():
    text = rendered("rich")
    assert text.startswith("# Broken feature pipeline, very probably (94%).\n")
    for heading in ("Which cause", "What to do next", "Questions", "Why", "Evidence", "What changed", "not measured"):
        assert re.search(rf"^## .*{heading}", text, re.M)
    for cause in sample.rich().causes:
        assert f"| {cause.title} |" in text


def test_markup_in_names_is_text():
    outside_code = "\n".join(line for line in rendered("nasty").splitlines() if not line.startswith("    "))
    assert not re.search(r"(?<!\\)<script", outside_code)


def test_long_lists_are_cut_and_counted():
    assert "and 4,985 more rows" in rendered("nasty")
