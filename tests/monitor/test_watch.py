"""Watching: windows are counted once whatever happens, alarms keep their budget, and what was seen can be compared."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sickbay.cli import main
from sickbay.config import load_site
from sickbay.errors import UserError
from sickbay.monitor import dashboards
from sickbay.monitor.comparing import drift
from sickbay.monitor.metrics import METRICS, Metrics
from sickbay.monitor.store import Store
from sickbay.monitor.watching import Watch

DAY = 86_400
pytestmark = pytest.mark.watch
SITE = """
[model.m]
predictions = "log/*.parquet"
reference = "reference.parquet"
columns = { timestamp = "ts", prediction = "prediction", score = "score", label = "label" }
features = ["x", "k"]
[monitor.daily]
window = "1d"
investigate = false
"""


def rows(day, count, rng, *, shift=0.0, flip=0.0, labels=True, only=None):
    x = rng.normal(shift, 1, count)
    score = 1 / (1 + np.exp(-1.5 * x))
    truth = (rng.random(count) < score).astype(float)
    level = rng.choice(["a", "b", "c"], count)
    concerned = (rng.random(count) < flip) & ((level == only) | (only is None))
    truth = np.where(concerned, 1 - truth, truth)
    start = pd.Timestamp("2026-01-01") + pd.Timedelta(days=day)
    return pd.DataFrame({
        "ts": start + pd.to_timedelta(np.sort(rng.random(count)) * DAY, unit="s"), "x": x,
        "k": level, "score": score, "prediction": (score > 0.5).astype(int),
        "label": truth if labels else np.nan,
    })  # fmt: skip


def site_in(directory, days, *, per_day=1500, seed=3, **late):
    """Write a site with a log of ``days`` days; ``late`` changes the rows of the last two."""
    rng = np.random.default_rng(seed)
    (directory / "log").mkdir(parents=True, exist_ok=True)
    rows(-9, 6000, rng).to_parquet(directory / "reference.parquet")
    for day in range(days):
        changed = late if day >= days - 2 else {}
        rows(day, per_day, rng, **changed).to_parquet(directory / "log" / f"{day:03}.parquet")
    (directory / "sickbay.toml").write_text(SITE)
    return directory / "sickbay.toml"


def turned(site_file, until, store=None):
    site = load_site(site_file, {}, site_file.parent)
    kept = Store(store or site_file.parent / "watch.db")
    watch = Watch(site, kept, environ={})
    return list(watch.turn(until)), kept, watch


def at(day, hour=1):
    return datetime.fromtimestamp(datetime(2026, 1, 1, tzinfo=UTC).timestamp() + day * DAY + hour * 3600, UTC)


def test_every_window_is_counted_once_and_again_nothing_is_due(tmp_path):
    site = site_in(tmp_path, 6)
    done, store, _ = turned(site, at(6))
    panes = store.panes("daily", 0, 2**40)
    assert done[0].panes == 5, "the first day began in the middle of a window"
    assert [p.start for p in panes] == [panes[0].start + i * DAY for i in range(5)]
    assert sum(p.profile.rows for p in panes) == 5 * 1500
    again, _, _ = turned(site, at(6))
    assert again[0].panes == 0


def test_inputs_that_move_raise_the_alarm_and_equal_days_do_not(tmp_path):
    (steady, _, _), (moved, _, _) = (
        turned(site_in(tmp_path / name, 8, **late), at(8)) for name, late in (("a", {}), ("b", {"shift": 1.0}))
    )
    assert steady[0].events == []
    raised = {e.series for e in moved[0].events if e.what == "raised"}
    assert {"x/values", "(score)/values"} <= raised
    assert not any(series.startswith("k/") for series in raised)


def test_a_changed_relation_shows_in_the_realised_loss_and_breaks_the_estimate(tmp_path):
    from sickbay.monitor.looking import assumption_broken
    from sickbay.stats import estimation

    done, store, _ = turned(site_in(tmp_path, 8, flip=0.4), at(8))
    assert {e.series for e in done[0].events} == {"loss"}
    assert "stands out" not in done[0].events[0].says, "every part of the traffic is as bad"
    assert "no longer mean" in done[0].doubt
    known = store._con.execute("SELECT performance FROM reference").fetchone()[0]
    reference = estimation.Performance.from_dict(json.loads(known))
    panes = store.panes("daily", 0, 2**40)
    sound, broken = panes[0].performance, panes[-1].performance
    estimate = estimation.estimate(reference, sound)
    assert estimate.loss == pytest.approx(sound.mean_loss, abs=4 * np.hypot(estimate.error, sound.error))
    assert assumption_broken(sound, estimate) == ""
    assert "no longer mean" in assumption_broken(broken, estimation.estimate(reference, broken))


def test_the_alarm_of_a_loss_says_where_it_stands_out(tmp_path):
    done, _, _ = turned(site_in(tmp_path, 8, flip=0.6, only="b"), at(8))
    said = [event.says for event in done[0].events if event.series == "loss"]
    assert "it stands out in k=b: 0.5" in said[0]
    assert "in the reference" in said[0]


def test_labels_that_come_late_are_taken_in_when_they_come(tmp_path):
    site = site_in(tmp_path, 6, labels=False, flip=0.4)
    first, store, _ = turned(site, at(6))
    assert first[0].events == []
    assert first[0].estimated is not None
    rng = np.random.default_rng(3)
    for day in (4, 5):  # the same days, with their labels
        rows(day, 1500, rng, flip=0.4).to_parquet(tmp_path / "log" / f"{day:03}.parquet")
    rows(6, 1500, rng, flip=0.4).to_parquet(tmp_path / "log" / "006.parquet")
    second, store, _ = turned(site, at(7))
    assert "loss" in {e.series for e in second[0].events}
    assert len(store.panes("daily", 0, 2**40)) == 6


def test_a_log_that_falls_silent_raises_the_alarm(tmp_path):
    done, _, _ = turned(site_in(tmp_path, 5), at(9))
    assert [(e.series, e.what) for e in done[0].events] == [("rows", "raised")]


def test_a_source_that_was_away_is_caught_up_with_and_it_is_said(tmp_path):
    site = site_in(tmp_path, 5)
    _, _, watch = turned(site, at(4))
    away = tmp_path / "away"
    shutil.move(tmp_path / "log", away)
    (failed,) = watch.turn(at(5))
    assert "cannot read since 2026-01-06 01:00Z" in failed.error
    rng = np.random.default_rng(9)
    for day in (5, 6, 7):
        rows(day, 1500, rng).to_parquet(away / f"{day:03}.parquet")
    shutil.move(away, tmp_path / "log")
    (caught,) = watch.turn(at(8))
    assert (caught.caught_up, caught.error) == (True, "")
    panes = watch.store.panes("daily", 0, 2**40)
    assert [p.profile.rows for p in panes] == [1500] * 7


def test_any_two_periods_can_be_compared_without_the_data(tmp_path):
    site = site_in(tmp_path, 8, shift=1.0)
    _, store, _ = turned(site, at(8))
    shutil.rmtree(tmp_path / "log")
    before = f"watch:{store.path}#daily@2026-01-02..2026-01-06"
    after = f"watch:{store.path}#daily@2026-01-07..2026-01-09"
    found = {judged.name: judged.drifted for judged in drift(before, after).columns}
    assert found == {"x": True, "k": False, "(score)": True}
    with pytest.raises(UserError, match="has no window"):
        drift(before, f"watch:{store.path}#daily@2020-01-01..2020-01-02")


def test_windows_may_overlap_and_are_sums_of_their_panes(tmp_path):
    site = site_in(tmp_path, 5)
    site.write_text(SITE.replace('window = "1d"', 'window = "1d"\nslide = "6h"'))
    done, store, _ = turned(site, at(5))
    panes = store.panes("daily", 0, 2**40)
    assert done[0].look.rows == sum(p.profile.rows for p in panes[-4:])


def test_two_watches_on_one_store_do_not_count_twice(tmp_path):
    site = site_in(tmp_path, 5)
    _, store, _ = turned(site, at(4))
    pane = store.panes("daily", 0, 2**40)[-1]
    with pytest.raises(UserError, match="another watch"):
        store.add(pane, {}, [])


@pytest.mark.parametrize("moment", [0.05, 0.4, 0.8, 1.1, 1.5, 2.0, 2.6])
def test_killed_at_any_moment_no_window_is_lost_or_counted_twice(tmp_path, moment):
    site = site_in(tmp_path, 25, per_day=200)
    command = [sys.executable, "-m", "sickbay", "watch", "--once", "--site", str(site), "--until", "2026-01-26T01:00Z"]
    store = tmp_path / ".sickbay" / "watch.db"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not store.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)  # the moment of the kill is what is varied here: no condition stands for it
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    panes = Store(store).panes("daily", 0, 2**40)
    assert [p.start - panes[0].start for p in panes] == [i * DAY for i in range(24)]
    assert [p.profile.rows for p in panes] == [200] * 24


def test_the_metrics_page_holds_every_metric(tmp_path):
    site = site_in(tmp_path, 8, shift=1.0)
    site.write_text(SITE + '[source.host]\npaths = { here = "." }\n[monitor.host]\nprobes = ["host.disks"]\n')
    done, store, _ = turned(site, at(8))
    metrics = Metrics()
    for progress in done:
        metrics.take(progress, store)
    port = metrics.serve(0)
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert [m.name for m in METRICS if f"\n{m.name}{{" not in page] == []
    assert 'sickbay_alarm{monitor="daily",series="x/values"} 1.0' in page


def test_dashboards_and_rules_ask_for_metrics_that_exist(tmp_path, capsys):
    assert main(["dashboards", str(tmp_path)]) == 0
    capsys.readouterr()
    board = json.loads((tmp_path / "sickbay-grafana.json").read_text())
    asked = [t["expr"] for p in board["panels"] for t in p["targets"]]
    asked += [rule["expr"] for group in dashboards.rules()["groups"] for rule in group["rules"]]
    names = {metric.name for metric in METRICS}
    used = {word for expr in asked for word in __import__("re").findall(r"sickbay_\w+", expr)}
    assert used <= names, used - names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
def test_promtool_takes_the_rules(tmp_path):
    main(["dashboards", str(tmp_path)])
    assert subprocess.run(["promtool", "check", "rules", str(tmp_path / "sickbay-rules.yml")]).returncode == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('window = "1 fortnight"', "is no length of time"),
        ('window = "1d"\nslide = "7h"', "no whole number of slides"),
        ('window = "1d"\nmodel = "other"', "no [model.other]"),
        ('windo = "1d"', "did you mean 'window'"),
        ('window = "1d"\ncolumns = ["y"]', "has no feature 'y'"),
        ('probes = ["host.disk"]', "did you mean 'host.disks'"),
        ('probes = ["host.disks"]\nevery = "soon"', "monitor.daily.every"),
        ('probes = ["host.disks"]', "reads host, which the site file does not name"),
        ('window = "1d"\nfalse_alarms_per_month = 0', "greater than 0"),
    ],
)
def test_a_wrong_monitor_names_the_key_and_the_next_step(tmp_path, capsys, change, said):
    site = site_in(tmp_path, 2)
    site.write_text(SITE.replace('window = "1d"', change))
    assert main(["watch", "--once", "--site", str(site), "--until", "2026-01-03"]) == 2
    assert said in capsys.readouterr().err


def test_the_command_says_what_it_did(tmp_path, capsys):
    site = site_in(tmp_path, 4)
    assert main(["watch", "--once", "--site", str(site), "--until", "2026-01-05", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["schema"], line["windows"], line["until"]) == ("sickbay.watch/1", 3, "2026-01-05 00:00Z")
    shutil.rmtree(tmp_path / "log")
    assert main(["watch", "--once", "--site", str(site), "--until", "2026-01-06"]) == 3
    assert Path(tmp_path / ".sickbay" / "watch.db").exists()
