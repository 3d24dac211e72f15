"""A real Prometheus, of Debian's package: what the recorded answers say is held against it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from sickbay.config import load_site
from sickbay.errors import SourceError
from sickbay.sources.context import Context
from sickbay.sources.prometheus import Prometheus, QueryRefused
from tests.services import debian
from tests.sources import loopback

pytestmark = pytest.mark.prometheus


def metrics(_):
    """Answer with a service's metrics: a counter that rises, and a gauge that goes up and down."""
    now = time.time()
    body = f"requests_total {now * 7:.3f}\nunder_way {1 + now % 5:.3f}\n".encode()
    return 200, body, "text/plain; version=0.0.4"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    place = tmp_path_factory.mktemp("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with loopback.serving(metrics) as page:
        target = {"job_name": "it", "static_configs": [{"targets": [page.removeprefix("http://")]}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [target]}
        (place / "prometheus.yml").write_text(json.dumps(config))
        command = [
            debian.program("prometheus", "prometheus"),
            f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]  # fmt: skip
        with (place / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                source = connect(f"http://127.0.0.1:{port}", place)
                end = time.monotonic() + 60
                while time.monotonic() < end and not seen(source, "rate(requests_total[10s])"):
                    time.sleep(0.3)
                yield source
                source.close()
            finally:
                process.terminate()


def connect(url, place):
    site = load_site({"source": {"prometheus": {"url": url}}}, {}, place)
    return Prometheus.connect(Context(site, datetime.now(UTC)))


def seen(source, query):
    try:
        return source.instant(query).series
    except SourceError:
        return ()


def test_a_range_comes_with_its_numbers(server):
    now = datetime.now(UTC)
    found = server.range("under_way", now - timedelta(seconds=30), now, 1)
    (series,) = found.series
    assert series.labels["job"] == "it"
    assert all(1 <= value <= 6 for _, value in series.values)
    assert len(series.values) < 31, "before its first scrape there is no point"


def test_its_errors_are_the_recorded_ones(server):
    now = datetime.now(UTC)
    for query, says in {"sum(up": "parse error", "up + on(job) {job=~'.+'}": "many-to-many|duplicate"}.items():
        with pytest.raises(QueryRefused, match=says):
            server.range(query, now - timedelta(seconds=30), now, 1)
    path = f"/api/v1/query_range?query=up&start={now.timestamp() - 86400}&end={now.timestamp()}&step=1"
    with pytest.raises(QueryRefused, match="11,000 points"):
        server._query(path, "matrix", 6.0)


def test_infinite_values_are_no_points(server):
    now = datetime.now(UTC)
    (series,) = server.range("up / 0", now - timedelta(seconds=5), now, 1).series
    assert series.values == ()
