"""Every signature of a failed task knows its own example first, and the root of a chain decides."""

from __future__ import annotations

import pytest

from sickbay.probes import failures, task, templates
from sickbay.sources.airflow_records import LogLine, Raised, traceback_chain


def chain(example):
    frames = ((example["files"], 1, "f"),) if "files" in example else ()
    links = (link.partition(": ") for link in example["chain"].split(" <- "))
    return [Raised(kind, value, frames) for kind, _, value in links]


@pytest.mark.parametrize("signature", failures.catalogue(), ids=lambda one: one.id)
def test_a_signature_knows_its_example_first(signature):
    example = signature.example
    match = failures.of_chain(chain(example)) if "chain" in example else failures.of_text(example["line"])
    assert match is not None
    assert match.signature.id == signature.id
    assert signature.source


def test_what_signatures_speak_for_is_what_probes_report():
    spoken = {one.speaks_for for one in failures.catalogue()}
    assert spoken == set(task.SAID) | {"killed", "heartbeat_lost"}


def test_a_package_that_does_not_fit_is_no_failed_check_whatever_its_names_say():
    text = (
        "Process returned non-zero exit status 1.\ncannot import name 'field_validator' from 'pydantic' (__init__.py)"
    )
    assert failures.of_chain([Raised("AirflowException", text)]).signature.speaks_for == "import_failed"


def test_the_root_cause_decides_and_not_what_wraps_it():
    wrapped = [
        Raised("AirflowException", "task failed"),
        Raised("ConnectionError", "x"),
        Raised("gaierror", "[Errno -2] Name or service not known"),
    ]
    assert failures.of_chain(wrapped).signature.speaks_for == "name_unresolved"


def test_a_refused_socket_belongs_to_the_library_that_opened_it():
    root = "ConnectionRefusedError", "[Errno 111] Connection refused"
    for file, topic in (
        ("site-packages/requests/api.py", "http_failed"),
        ("site-packages/asyncpg/c.py", "database_failed"),
    ):
        assert failures.of_chain([Raised(*root, ((file, 1, "f"),))]).signature.speaks_for == topic


def test_an_error_that_no_signature_knows_is_none():
    assert failures.of_chain([Raised("CustomError", "something odd")]) is None
    assert failures.of_log([LogLine("all is well", "info")]) is None


CHILD = """Traceback (most recent call last):
  File "/tmp/script.py", line 12, in <module>
    from pydantic import field_validator
ImportError: cannot import name 'field_validator' from 'pydantic'"""


def test_the_traceback_of_a_process_that_the_task_started_is_read():
    lines = [LogLine(line, "info") for line in CHILD.splitlines()]
    lines.append(
        LogLine("Task failed", "error", raised=(Raised("CalledProcessError", "returned non-zero exit status 1."),))
    )
    assert failures.of_log(lines).signature.id == "import-failed"


def test_what_a_good_run_writes_too_is_no_failure():
    lines = [LogLine(line, "error") for line in CHILD.splitlines()]
    known = ["ImportError: cannot import name 'field_validator' from 'pydantic'"]
    assert failures.of_log(lines, known) is None
    assert (
        failures.of_log([LogLine("curl: (6) Could not resolve host: x")], ["curl: (6) Could not resolve host: x"])
        is None
    )


def test_a_chain_in_text_is_read_from_the_outermost_to_the_root():
    text = (
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in g\npkg.errors.LoadError: no x\n'
    )
    found = traceback_chain(text)
    assert [(link.type, link.frames[0][0]) for link in found] == [("LoadError", "b.py"), ("KeyError", "a.py")]


def test_the_place_is_in_the_users_own_code():
    frames = (
        ("/x/site-packages/airflow/a.py", 1, "run"),
        ("/repo/dags/etl.py", 9, "extract"),
        ("/x/site-packages/r.py", 3, "get"),
    )
    assert failures.place([Raised("KeyError", "'a'", frames)]) == "etl.py:9 in extract"


def test_lines_of_a_new_kind_are_news():
    pytest.importorskip("drain3")
    before = [f"fetched {n} rows in {n / 10} s" for n in range(20)]
    assert templates.news(before, ["fetched 999 rows in 3.1 s", "retrying with smaller pages"]) == [
        "retrying with smaller pages"
    ]
    assert templates.news([], ["anything"]) == []
