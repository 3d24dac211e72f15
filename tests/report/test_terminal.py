from __future__ import annotations

import io

import pytest

from sickbay.report import terminal
from tests.report import sample


def printed(name: str, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="replace", write_through=True)
    terminal.print_diagnosis(sample.ALL[name](), terminal.console(stream, {}), sample.GLOSSARY)
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("name", sample.ALL)
def test_eighty_columns_and_no_colour_when_piped(name):
    text = printed(name)
    assert "\x1b" not in text
    again = "Again: "
    assert max(len(line) for line in text.splitlines() if not line.startswith(again)) <= 80
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_the_first_line_is_the_verdict():
    assert printed("rich").splitlines()[0] == "Broken feature pipeline, very probably (94%)."
    assert printed("nothing_measured").startswith("Nothing could be measured")


def test_an_interrupted_investigation_says_so_at_the_head():
    assert "Interrupted before the end" in "\n".join(printed("interrupted").splitlines()[:3])


def test_causes_answers_reasons_gaps_and_steps_are_there():
    text = " ".join(printed("rich").split())
    for cause in sample.rich().causes:
        assert cause.title in text
    assert "Not answered: no data: the site names no arm column." in text
    assert "+3.1 +0.1 Nulls in merchant_age_days" in text
    assert "Whether the host ran out of memory: refused" in text
    assert "1. Repair the job that computes the columns" in text
    assert "3.1% of requests failed" in text


def test_markup_in_names_is_text():
    assert "[red]" in printed("nasty")


def test_an_ascii_terminal_gets_ascii_bars():
    text = printed("rich", "ascii")
    assert "###################." in text
    assert "█" not in text


def test_no_color_is_honoured_on_a_terminal():
    class Tty(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    plain, colour = Tty(), Tty()
    environ = {"TERM": "xterm-256color"}
    terminal.print_diagnosis(sample.rich(), terminal.console(colour, environ), sample.GLOSSARY)
    terminal.print_diagnosis(sample.rich(), terminal.console(plain, {**environ, "NO_COLOR": "1"}), sample.GLOSSARY)
    assert "\x1b[36m" in colour.getvalue()
    assert "\x1b[36m" not in plain.getvalue()
