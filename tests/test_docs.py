"""The documentation says what the code does: commands and options exist, and site files are accepted."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from sickbay.cli.commands import sickbay
from sickbay.config import load_site

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind):
    """Return the fenced blocks of a kind: page and line, text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == kind:
                line = text[: match.start()].count("\n") + 1
                found.append(pytest.param(match[2], id=f"{page.name}:{line}"))
    return found


def commands():
    """Return every line of the pages that calls sickbay, without its comment."""
    found = []
    for block in blocks(""):
        for line in block.values[0].replace("\\\n", " ").splitlines():
            text = line.split("  #")[0].strip().removeprefix(".venv/bin/")
            if text.startswith("sickbay "):
                found.append(pytest.param(text, id=f"{block.id} {text[:40]}"))
    return found


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_pages_exists_with_its_options(line):
    words = shlex.split(line.replace("…", "x").replace("...", "x"))[1:]
    command: click.Command = sickbay
    while isinstance(command, click.Group):
        assert words, f"{line}: it ends before the command does"
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, f"{line}: there is no such command"
        command = found
    options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in options, f"{line}: {command.name} has no option {word}"


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_site_file_of_the_pages_is_accepted(text, tmp_path):
    site = tomllib.loads(text)
    for model in site.get("model", {}).values():
        model.setdefault("predictions", "log.parquet")  # a page may show a part of a model
    load_site(site, {}, tmp_path)


def test_the_reference_is_of_today():
    tool = runpy.run_path(str(ROOT / "tools" / "reference.py"))
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == tool["page"](), "python tools/reference.py writes it again"


def test_every_page_is_listed():
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in listed] == []
