"""Whatever a probe does, the others are measured and every declared finding comes out."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sickbay import redact
from sickbay.errors import (
    SourceError,
    SourceForbidden,
    SourceGarbled,
    SourceTimeout,
    TableError,
    UnknownNameError,
    UserError,
)
from sickbay.investigation import Event, ProbeEnded, doctor, investigate, loop, run_probe
from sickbay.terms.change import Change
from sickbay.terms.diagnosis import Diagnosis
from sickbay.terms.evidence import Evidence
from sickbay.terms.finding import Finding, measured, unknown
from tests.investigation.fakes import Ward, ward

__all__ = ["ward"]

SECRET = "correct-horse-battery"


def saying(*items: Any) -> Callable[..., Iterable[Any]]:
    def run(system: Any) -> Iterable[Any]:
        yield from items

    return run


def raising(error: BaseException, *before: Any) -> Callable[..., Iterable[Any]]:
    def run(system: Any) -> Iterable[Any]:
        yield from before
        raise error

    return run


def ask(**asked: Any) -> Diagnosis:
    return investigate({}, "house", **({"mode": "fast"} | asked))


def reason(diagnosis: Diagnosis, finding: str) -> str:
    found = diagnosis.finding(finding)
    assert found is not None
    assert found.status == "unknown"
    assert found.log_ratio == 0
    return found.reason or ""


def test_a_hanging_probe_is_given_up_at_its_deadline_and_the_others_are_measured(ward: Ward) -> None:
    ward.probe("stuck", ward.hang, "hot", deadline=0.2)
    ward.probe("sound", saying(measured("wet", 4.0)), "wet")
    diagnosis = ask()
    assert "timed out" in reason(diagnosis, "hot")
    assert diagnosis.finding("wet").log_ratio == 4.0  # type: ignore[union-attr]


def test_what_a_hanging_probe_said_before_it_hung_is_kept(ward: Ward) -> None:
    def half(system: Any) -> Iterable[Any]:
        yield measured("hot", -2.0)
        yield from ward.hang(system)

    ward.probe("half", half, "hot", "smoke", deadline=0.2)
    diagnosis = ask()
    assert diagnosis.finding("hot").status == "measured"  # type: ignore[union-attr]
    assert "timed out" in reason(diagnosis, "smoke")


def test_what_a_probe_says_after_it_was_given_up_is_lost(ward: Ward) -> None:
    def late(system: Any) -> Iterable[Any]:
        yield from ward.hang(system)
        yield measured("hot", 4.0)

    ward.probe("late", late, "hot", deadline=0.1)
    diagnosis = ask()
    ward.release.set()
    assert "timed out" in reason(diagnosis, "hot")


def test_a_crash_is_an_unknown_finding_with_its_traceback_in_the_record(ward: Ward) -> None:
    ward.probe("crash", raising(ZeroDivisionError("by zero")), "hot")
    ward.probe("sound", saying(measured("wet", 4.0)), "wet")
    diagnosis = ask()
    assert reason(diagnosis, "hot") == "crashed: ZeroDivisionError: by zero"
    assert "Traceback" in diagnosis.finding("hot").evidence.numbers["traceback"]  # type: ignore[union-attr]
    assert diagnosis.finding("wet").status == "measured"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("it is hot", "a str, not a finding"),
        (None, "a NoneType, not a finding"),
        (measured("cold", 3.0), "'cold', which it does not declare"),
        (Finding("hot", "measured", math.nan), "no number"),
        (Finding("hot", "measured", "3"), "no number"),  # type: ignore[arg-type]
        (Finding("hot", "perhaps", 1.0), "'perhaps'"),  # type: ignore[arg-type]
        (Finding("hot", "unknown", 2.0, reason="no data: x"), "carries evidence"),
        (Finding("hot", "unknown"), "no reason"),
    ],
)
def test_garbage_is_an_unknown_finding_that_says_what_was_wrong(ward: Ward, said: Any, complaint: str) -> None:
    ward.probe("garbage", saying(said), "hot")
    diagnosis = ask()
    assert reason(diagnosis, "hot").startswith("garbage: ")
    assert complaint in reason(diagnosis, "hot")


def test_a_probe_that_returns_no_iterable_is_a_crash_not_a_stop(ward: Ward) -> None:
    ward.probe("nothing", lambda system: None, "hot")  # type: ignore[arg-type, return-value]
    assert reason(ask(), "hot").startswith("crashed: TypeError")


def test_a_log_ratio_beyond_the_cap_counts_for_the_cap(ward: Ward) -> None:
    ward.probe("loud", saying(Finding("hot", "measured", math.inf)), "hot")
    diagnosis = ask()
    assert all(0 <= cause.probability <= 1 for cause in diagnosis.causes)
    assert abs(diagnosis.finding("hot").log_ratio) <= math.log(100) + 1e-9  # type: ignore[union-attr]


def test_a_probe_that_ends_without_a_word_leaves_its_findings_unknown(ward: Ward) -> None:
    ward.probe("silent", saying(), "hot")
    assert reason(ask(), "hot").startswith("not reported")


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (SourceForbidden("no right to read"), "forbidden: "),
        (SourceTimeout("30 s"), "timed out: "),
        (SourceGarbled("not HTTP"), "garbled: "),
        (SourceError("connection refused"), "unreachable: "),
        (SourceError("no data: the table is empty"), "no data: "),
        (UserError("column x"), "not usable: "),
    ],
)
def test_a_source_that_cannot_be_read_is_unknown_with_the_reason(ward: Ward, error: Exception, word: str) -> None:
    ward.probe("reader", raising(error), "hot")
    assert reason(ask(), "hot").startswith(word)


def test_a_source_that_cannot_be_connected_is_unknown_and_asked_once(ward: Ward) -> None:
    ward.system.fails = SourceForbidden("wrong password")
    ward.probe("one", saying(measured("hot", 1.0)), "hot")
    ward.probe("two", saying(measured("wet", 1.0)), "wet")
    diagnosis = ask()
    assert {reason(diagnosis, name).partition(":")[0] for name in ("hot", "wet")} == {"forbidden"}
    assert ward.system.connected == 1


def test_a_source_that_crashes_while_connecting_sinks_only_its_probes(ward: Ward) -> None:
    ward.system.fails = RuntimeError("driver bug")
    ward.probe("reader", saying(measured("hot", 1.0)), "hot")
    ward.probe("free", lambda: [measured("wet", 4.0)], "wet", sources={})
    diagnosis = ask()
    assert "crashed" in reason(diagnosis, "hot")
    assert diagnosis.finding("wet").status == "measured"  # type: ignore[union-attr]


def test_a_source_the_site_does_not_name_is_listed_as_missing(ward: Ward) -> None:
    ward.probe("elsewhere", saying(measured("hot", 1.0)), "hot", sources={"absent": "absent"})
    ward.probe("sound", saying(measured("wet", 1.0)), "wet")
    diagnosis = ask()
    assert diagnosis.finding("hot") is None
    (lacking,) = [m for m in diagnosis.missing if m.finding == "hot"]
    assert lacking.probe == "elsewhere"
    assert "absent" in lacking.reason


def test_nothing_measured_is_not_confident(ward: Ward) -> None:
    ward.probe("crash", raising(ValueError("x")), "hot", "wet")
    diagnosis = ask()
    assert diagnosis.stopped == "exhausted"
    assert diagnosis.coverage == 0


def test_unlikely_causes_are_no_reason_to_be_confident_before_anything_was_measured(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ward.knowledge()
    rare = {name: replace(cause, prior=0.001) for name, cause in known.causes.items()}
    monkeypatch.setattr(loop.loader, "load", lambda: replace(known, causes=rare))
    ward.probe("crash", raising(ValueError("x")), "hot", "wet")
    assert ask().stopped == "exhausted"
    assert ask(mode="balanced").stopped == "exhausted"
    ward.probe("sound", saying(measured("cold", -3.0), measured("smoke", -3.0)), "cold", "smoke")
    assert ask().stopped == "confident"


def test_connections_are_closed_at_the_end_even_after_a_crash(ward: Ward) -> None:
    ward.probe("crash", raising(ValueError("x")), "hot")
    ask()
    assert ward.system.closed == 1


def test_secrets_in_what_a_probe_says_never_come_out(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_known", set())
    redact.remember(SECRET)
    loud = measured("hot", 4.0, says=f"login {SECRET}", evidence=Evidence({SECRET: [f"x{SECRET}y"]}))
    change = Change("deploy", datetime(2026, 1, 1, tzinfo=UTC), SECRET, f"postgresql://ml:{SECRET}@db/x")
    ward.probe("loud", saying(change, loud), "hot")
    ward.probe("dead", raising(ValueError(f"token={SECRET}")), "wet")
    ward.probe("shy", saying(unknown("smoke", f"no data: {SECRET}")), "smoke")
    ward.probe("rude", raising(SourceForbidden(f"password {SECRET} refused")), "cold")
    heard: list[Event] = []
    diagnosis = ask(on_event=heard.append)
    assert SECRET not in repr(diagnosis)
    assert SECRET not in repr(heard)
    assert SECRET not in repr(run_probe({}, "dead"))
    assert redact.MASK in diagnosis.finding("hot").says  # type: ignore[union-attr]


def test_ctrl_c_returns_what_is_known(ward: Ward) -> None:
    ward.probe("sound", saying(measured("wet", 4.0)), "wet")
    ward.probe("stuck", ward.hang, "hot", deadline=30.0)

    def stop(event: Event) -> None:
        if isinstance(event, ProbeEnded) and event.probe == "sound":
            raise KeyboardInterrupt

    diagnosis = ask(on_event=stop)
    assert diagnosis.stopped == "interrupted"
    assert diagnosis.finding("wet").status == "measured"  # type: ignore[union-attr]
    assert reason(diagnosis, "hot").startswith("interrupted")


def test_a_budget_of_nothing_starts_nothing_and_says_so(ward: Ward) -> None:
    ward.probe("sound", saying(measured("wet", 4.0)), "wet")
    diagnosis = ask(budget=0)
    assert diagnosis.stopped == "budget"
    assert diagnosis.findings == ()
    assert [m.finding for m in diagnosis.missing] == ["wet"]


def test_a_tiny_budget_gives_up_what_still_runs(ward: Ward) -> None:
    ward.probe("stuck", ward.hang, "hot", deadline=30.0)
    began = time.monotonic()
    diagnosis = ask(budget=0.3)
    assert diagnosis.stopped == "budget"
    assert "time budget" in reason(diagnosis, "hot")
    assert diagnosis.seconds < 10 > time.monotonic() - began  # far under the probe's 30 s: it was not waited for


def test_probes_that_cannot_finish_in_the_budget_are_not_started(ward: Ward) -> None:
    ward.probe("long", saying(measured("wet", 4.0)), "wet", seconds=1000.0)
    diagnosis = ask(budget=30)
    assert diagnosis.findings == ()
    assert diagnosis.stopped == "budget"


def test_probes_that_were_not_worth_their_cost_are_no_lack_of_time(ward: Ward) -> None:
    ward.probe("sound", saying(measured("wet", 0.1)), "wet")
    ward.probe("idle", saying(measured("linked-with-nothing", 1.0)), "linked-with-nothing")
    diagnosis = ask(mode="balanced", budget=60)
    assert diagnosis.stopped == "exhausted"
    assert "worth its cost" in next(m.reason for m in diagnosis.missing if m.finding == "linked-with-nothing")


def test_a_watcher_that_raises_does_not_sink_the_run(ward: Ward) -> None:
    ward.probe("sound", saying(measured("wet", 4.0)), "wet")

    def watch(event: Event) -> None:
        raise BrokenPipeError("the reader went away")

    assert ask(on_event=watch).finding("wet").status == "measured"  # type: ignore[union-attr]


def test_a_watcher_that_raised_is_not_called_again_and_the_report_says_so(ward: Ward) -> None:
    ward.probe("sound", saying(measured("wet", 4.0)), "wet")
    calls: list[Event] = []

    def watch(event: Event) -> None:
        calls.append(event)
        raise ValueError("bad widget")

    assert "ValueError: bad widget" in ask(on_event=watch).settings["on_event"]
    assert len(calls) == 1


def test_two_runs_agree_although_threads_race(ward: Ward) -> None:
    names = ["wet", "cold", "hot", "smoke"]

    def racing(name: str, ratio: float) -> Callable[..., Iterable[Any]]:
        def run(system: Any) -> Iterable[Any]:
            time.sleep(random.random() * 0.02)
            yield measured(name, ratio)

        return run

    for name, ratio in zip(names, (0.4, -0.3, 0.5, 0.2), strict=True):
        ward.probe(name, racing(name, ratio), name)
    first, *others = [ask() for _ in range(5)]
    assert len(first.findings) == 4
    for other in others:
        assert [c.id for c in other.causes] == [c.id for c in first.causes]
        for mine, theirs in zip(first.causes, other.causes, strict=True):
            assert mine.probability == pytest.approx(theirs.probability, abs=1e-9)
            assert mine.ledger == theirs.ledger
        assert [replace(f, seconds=0) for f in other.findings] == [replace(f, seconds=0) for f in first.findings]


def test_an_unknown_scenario_names_the_nearest(ward: Ward) -> None:
    with pytest.raises(UnknownNameError) as caught:
        investigate({}, "hose")
    assert caught.value.hint == "did you mean 'house'?"


def test_an_unknown_probe_names_the_nearest(ward: Ward) -> None:
    ward.probe("sound", saying(), "wet")
    with pytest.raises(UnknownNameError, match="soun") as caught:
        run_probe({}, "soun")
    assert "sound" in caught.value.hint


def test_a_mode_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(UserError, match="no mode 'frantic'") as caught:
        investigate({}, mode="frantic")  # type: ignore[arg-type]
    assert "balanced" in caught.value.hint


def test_one_probe_run_by_hand_is_given_up_at_its_deadline_too(ward: Ward) -> None:
    ward.probe("stuck", ward.hang, "hot", deadline=0.1)
    (finding,) = run_probe({}, "stuck")
    assert isinstance(finding, Finding)
    assert "timed out" in (finding.reason or "")


def test_doctor_reports_a_source_that_cannot_be_read(ward: Ward, tmp_path: Path) -> None:
    ward.system.fails = TableError("there is no table", hint="make one")
    checks = doctor({"model": {"m": {"predictions": "x.parquet"}}}, directory=tmp_path)
    assert [(check.ok, check.detail) for check in checks] == [(False, "there is no table (make one)")]
