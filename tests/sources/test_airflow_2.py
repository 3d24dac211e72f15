"""Airflow 2 by answers that 2.11.2 gave to a Viewer: the same nouns, the same findings, what it hides is unknown."""

from __future__ import annotations

import http.server
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest

from sickbay.investigation import investigate, run_probe

RECORDED = json.loads((Path(__file__).parent / "recorded" / "airflow-2.11.json").read_text(encoding="utf-8"))
NOW = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)


class Replay(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = RECORDED.get(unquote(self.path), {"_status": 404, "body": "not recorded"})
        status = answer.get("_status", 200) if isinstance(answer, dict) else 200
        body = answer["body"].encode() if "_status" in answer else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Replay) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield {"source": {"airflow": {"url": address, "username": "probe", "password": "probe"}}}
        server.shutdown()
        thread.join()


def found(site, probe):
    return {item.id: item for item in run_probe(site, probe, clock=lambda: NOW) if hasattr(item, "status")}


def test_the_failed_task_is_found_behind_the_one_that_waited_for_it(site):
    seen = found(site, "pipeline.runs")
    assert seen["pipeline.not_delivered"].on
    assert "daily_etl.extract failed after 2 tries" in seen["pipeline.task_failed"].says
    assert "1 behind it" in seen["pipeline.task_failed"].says


def test_its_error_is_read_from_the_text_of_the_log(site):
    seen = found(site, "task.error")
    assert seen["task.http_failed"].on
    assert "etl.py" in seen["task.http_failed"].says
    assert [name for name, finding in seen.items() if finding.on] == ["task.http_failed"]


def test_what_a_viewer_may_not_read_is_unknown_with_the_reason(site):
    settings = found(site, "since.changes")["since.settings_changed"]
    assert settings.status == "unknown"
    assert settings.reason.startswith("forbidden")


def test_parts_that_are_not_deployed_are_unknown_and_the_others_measured(site):
    seen = found(site, "pipeline.health")
    assert seen["pipeline.dag_processor_silent"].reason.startswith("not applicable")
    assert seen["pipeline.scheduler_silent"].status == "measured"


def test_the_investigation_names_the_cause(site):
    diagnosis = investigate(site, "pipeline-failure", clock=lambda: NOW)
    assert diagnosis.causes[0].id == "external-api-down"
    assert diagnosis.coverage < 0.9
