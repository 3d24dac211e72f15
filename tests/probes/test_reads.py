"""What a step of a pipeline reads, by its code: in the ways that DAG files are written."""

from __future__ import annotations

import pytest

from sickbay.probes import edits, reads
from sickbay.sources.airflow_records import Event

FLOW = """
import os, json
from airflow.sdk import Variable, BaseHook, dag, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
TABLE = Variable.get("target_table")

def helper():
    return BaseHook.get_connection("bank_api")

def rows():
    return Variable.get("row_limit")

@dag()
def flow():
    @task
    def check(data, limit=None):
        n = int(Variable.get("min_rows"))
        share = Variable.get("share")
        ok = float(data["share"]) * float(share)
        assert 0 < float(share) <= 1
        config = json.loads(Variable.get("config"))
        config["table"]
        if len(data) < n:
            raise ValueError(f"{len(data)} rows, expected {n}")
        port = int(
            os.environ["ORDERS_PORT"]
        )

    @task.external_python(python="{{ var.value.task_python }}")
    def load(data):
        return TABLE, helper()

    copy = BashOperator(task_id="copy", bash_command="cp x {{ conn.store.host }}", append_env=True)
    count = PythonOperator(task_id="count", python_callable=rows)
    load.override(retries=2)(check(1, limit="{{ var.json.limits.daily }}")) >> copy

flow()
"""


@pytest.mark.parametrize(
    ("task", "of_it", "of_others"),
    [
        ("check", ("min_rows", "share", "config", "limits", "ORDERS_PORT"), ("target_table", "task_python", "store")),
        ("load", ("target_table", "task_python", "bank_api"), ("min_rows", "row_limit")),
        ("group.load__3", ("target_table", "task_python"), ("store",)),
        ("copy", ("store",), ("target_table", "row_limit")),
        ("count", ("row_limit",), ("store", "min_rows")),
    ],
)
def test_a_step_reads_what_its_function_its_operator_and_its_helpers_name(task, of_it, of_others):
    code = reads.step(FLOW, task)
    assert [name for name in of_it if not reads.names(code, name)] == []
    assert [name for name in of_others if reads.names(code, name)] == []


def test_a_step_that_is_not_there_and_code_that_does_not_parse_have_no_code():
    assert reads.step(FLOW, "nowhere") == ""
    assert reads.step("def broken(:", "broken") == ""
    assert reads.at_line("def broken(:", 1, "broken") == ""


def line_of(text):
    return next(i for i, line in enumerate(FLOW.splitlines(), start=1) if text in line)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('int(Variable.get("min_rows"))', "min_rows"),
        ("assert 0 < float(share)", "share"),
        ('json.loads(Variable.get("config"))', "config"),
        ('os.environ["ORDERS_PORT"]', "ORDERS_PORT"),
        ('float(data["share"])', ""),  # either of two may be wrong
        ("if len(data) < n", ""),
        ("raise ValueError", ""),  # said on purpose, of the data
        ("share = Variable.get", ""),  # reading it is no work on it: that it is not there has its own words
    ],
)
def test_a_line_is_blamed_on_a_setting_only_where_it_works_on_nothing_else(text, setting):
    assert reads.at_line(FLOW, line_of(text), "check") == setting


def test_a_line_of_another_function_is_not_blamed():
    assert reads.at_line(FLOW, line_of('int(Variable.get("min_rows"))'), "load") == ""


def edit(what, extra, dag=""):
    event = Event(None, what, dag, "", "", "ann", extra)
    return edits._edit(None, event, "nightly")


@pytest.mark.parametrize(
    ("what", "extra", "names"),
    [
        ("patch_variable", '{"key": "limit", "value": "***", "method": "PATCH"}', ("limit",)),
        ("delete_connection", '{"connection_id": "bank", "method": "DELETE"}', ("bank",)),
        ("bulk_variables", '{"actions": [{"entities": [{"key": "a", "value": "***"}, {"key": "b"}]}]}', ("a", "b")),
        ("variable.edit", "[('key', 'limit'), ('val', '***')]", ("limit",)),
        ("cli_variables_set", """{"full_command": "['airflow', 'variables', 'set', '-j', 'limit']"}""", ("limit",)),
        ("cli_connections_add", """{"full_command": "['airflow', 'connections', 'add', 'bank']"}""", ("bank",)),
    ],
)  # fmt: skip
def test_an_edit_names_what_it_edited_however_it_was_made(what, extra, names):
    assert edit(what, extra).names == names
    assert "x" not in edit(what, extra).of


@pytest.mark.parametrize("what", ["get_variables", "test_connection", "cli_variables_get", "cli_connections_list",
                                  "varexport", "success", "clear"])  # fmt: skip
def test_looking_is_no_edit(what):
    assert edit(what, '{"key": "limit"}') is None


def test_a_pause_counts_for_its_own_pipeline_alone():
    assert edit("patch_dag", "{}", "nightly").pause
    assert edit("patch_dag", "{}", "hourly") is None
