from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from sickbay.report import html
from sickbay.report.charts import series
from sickbay.terms.evidence import Line, Series
from tests.report import sample

VOID = {"meta", "link", "br", "img", "rect", "line", "path", "circle", "input", "hr"}


class Page(HTMLParser):
    """What the tests ask of a page: its tags in order, attributes, text, and whether tags close properly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page(name: str) -> Page:
    return Page(html.render(sample.ALL[name](), sample.GLOSSARY))


@pytest.fixture(scope="module", params=sample.ALL)
def any_page(request):
    return page(request.param)


def test_every_tag_is_closed(any_page):
    assert any_page.open == []


def test_nothing_comes_from_elsewhere_and_nothing_runs(any_page):
    tags = {tag for tag, _ in any_page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
    for _, attrs in any_page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert str(attrs.get("href", "#")).startswith("#")
        assert "src" not in attrs


def test_headings_descend_one_level_at_a_time(any_page):
    levels = [int(tag[1]) for tag, _ in any_page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_landmarks_labels_and_link_targets_resolve(any_page):
    ids = [attrs["id"] for _, attrs in any_page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag in ("header", "nav", "main", "footer"):
        assert len(any_page.all(tag)) == 1
    wanted = [attrs["aria-labelledby"] for _, attrs in any_page.tags if "aria-labelledby" in attrs]
    wanted += [str(attrs["href"])[1:] for attrs in any_page.all("a")]
    assert set(wanted) <= set(ids)


def test_every_picture_has_a_name_and_every_header_cell_a_scope(any_page):
    for attrs in any_page.all("svg"):
        assert attrs.get("aria-hidden") == "true" or (attrs["role"] == "img" and attrs["aria-label"])
    assert all(attrs.get("scope") in ("row", "col") for attrs in any_page.all("th"))


def test_every_cause_with_its_probability_every_question_and_every_finding_is_there():
    text = page("rich").text
    known = sample.rich()
    for cause in known.causes:
        assert cause.title in text
    for answer in known.answers:
        assert answer.asks in text
    for finding in known.findings:
        assert finding.id in text
    assert "94%" in text
    assert "None of these" in text
    assert "sickbay investigate model-degradation" in text
    assert "Repair the job that computes" in text
    assert "nulls rose from 0.4% to 61.2%" in text


def test_charts_have_a_table_beside_them():
    rich = page("rich")
    charts = [attrs for attrs in rich.all("svg") if attrs.get("class") == "chart"]
    assert len(charts) == 5
    assert rich.text.count("The same as a table") == len(charts)


def test_markup_in_names_is_text():
    evil = page("nasty")
    assert not evil.all("script")
    assert "<script>alert('x')</script>" in evil.text
    assert "\x1b" not in evil.text


def test_long_lists_are_cut_and_counted():
    text = page("nasty").text
    assert "and 4,950 more rows" in text
    assert "more lines" in text
    assert len(text) < 100_000


def test_what_is_not_a_number_is_said_so():
    assert "not known" in page("nasty").text


def test_a_gap_in_a_series_is_a_gap_in_the_line():
    times = tuple(sample.START.replace(hour=h) for h in range(6))
    drawn = series.draw(Series(times, (Line("a", (1.0, 2.0, None, 3.0, float("nan"), 4.0)),)))
    picture = ElementTree.fromstring(drawn)
    plot = [e for e in picture.iter() if e.get("class") == "line l0"]
    assert len(plot) == 2  # one run of two points, and the sample in the legend
    assert len([e for e in picture.iter() if e.get("class") == "dot l0"]) == 2


def test_a_series_without_numbers_draws_nothing():
    assert series.draw(Series((), ())) == ""
    assert series.draw(Series((sample.START,), (Line("a", (None,)),))) == ""


def test_an_empty_diagnosis_says_that_no_probe_ran():
    assert "no probe ran" in page("empty").text


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    digits = colour.lstrip("#")
    full = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(full[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_has_contrast_in_light_dark_and_print():
    style = html.render(sample.empty(), sample.GLOSSARY).partition("<style>")[2].partition("</style>")[0]
    themes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len(themes) == 3
    for theme in themes:
        for paper in ("paper", "wash"):
            for ink, least in (("ink", 4.5), ("soft", 4.5), ("accent", 4.5), ("axis", 2.8)):
                light, dark = sorted((luminance(theme[paper]), luminance(theme[ink])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= least, (theme, paper, ink)
