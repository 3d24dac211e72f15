from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from sickbay.cli import commands, main
from sickbay.errors import SourceTimeout, UserError
from tests.cli.fakes import FakeRooms, door

HEAVY = ("numpy", "pandas", "polars", "pyarrow", "duckdb", "sqlglot", "sklearn", "rich", "pydantic", "jinja2")


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(chr(10).join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.split())


def test_import_sickbay_loads_nothing_heavy():
    modules = loaded("import sickbay")
    assert not modules & {*HEAVY, "click"}


def test_help_loads_nothing_heavy():
    modules = loaded("from sickbay.cli import main\nassert main(['--help']) == 0")
    assert "click" in modules
    assert not modules & {*HEAVY, "sickbay.cli.investigate", "sickbay.registry"}


def test_the_public_names_are_there():
    import sickbay

    for name in sickbay.__all__:
        assert getattr(sickbay, name) is not None
    assert set(sickbay.__all__) == set(dir(sickbay))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sickbay.nonsense


def every_command(group: click.Group, path: tuple[str, ...] = ()):
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


COMMANDS = {" ".join(path): (path, command) for path, command in every_command(commands.sickbay)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name, capsys):
    path, command = COMMANDS[name]
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example:\n" in text
    assert f"sickbay {' '.join(path)}" in text.partition("Example:")[2]
    if not isinstance(command, click.Group):
        assert "--json" in text


def test_the_overview_says_what_the_commands_say():
    for path, command in every_command(commands.sickbay):
        if len(path) == 1:
            assert commands.SUMMARIES[path[0]] == (command.help or "").partition("\n")[0]


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["investgate"]) == 2
    assert "did you mean 'investigate'?" in capsys.readouterr().err


def run(error: BaseException, *arguments: str) -> int:
    return main(["investigate", *arguments], door(FakeRooms(error=error)))


def test_a_wrong_site_is_exit_code_2_with_the_hint(capsys):
    assert run(UserError("no site file", hint="run sickbay init"), "--json") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "sickbay: no site file\n  hint: run sickbay init\n"


def test_an_unreadable_system_is_exit_code_3(capsys):
    assert run(SourceTimeout("mlflow did not answer in 5 s")) == 3
    assert "did not answer" in capsys.readouterr().err


def test_a_defect_is_one_line_without_secrets(capsys):
    assert run(ValueError("bad dsn postgresql://ml:hunter2@db/x\nsecond line"), "--json") == 70
    said = capsys.readouterr()
    assert said.out == ""
    assert "this is a defect in sickbay: ValueError: bad dsn" in said.err
    assert "SICKBAY_DEBUG=1" in said.err
    assert "Traceback" not in said.err
    assert "hunter2" not in said.err


def test_the_traceback_can_be_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("SICKBAY_DEBUG", "1")
    assert run(ValueError("postgresql://ml:hunter2@db/x")) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "hunter2" not in said


def test_ctrl_c_outside_an_investigation_is_quiet(capsys):
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.endswith("sickbay: interrupted\n")


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sickbay", "--help"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
        )
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141
