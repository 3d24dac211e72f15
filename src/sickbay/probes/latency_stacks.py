"""Probe of the stacks of a running Python service: what holds its event loop, and where its processor time goes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from sickbay.registry import probe
from sickbay.sources.profiles import Profile, Thread
from sickbay.stats import latency
from sickbay.terms.evidence import Evidence, Rows
from sickbay.terms.finding import Finding, FindingKind, measured, unknown

STACKS, FEWEST = 14, 8
LIBRARIES = re.compile(r"sklearn|xgboost|lightgbm|catboost|onnxruntime|torch|tensorflow|keras|transformers", re.I)
INFERENCE = re.compile(r"^(\w*predict\w*|\w*infer\w*|score\w*|forward|run_model) \(", re.I)
FEATURES = re.compile(r"feature|preproc|transform|tokeni", re.I)
LOADING = re.compile(r"^(load\w*|_?unpickle|unpickle|read_array|_load\w*|from_pretrained|_read_array) \(", re.I)
WAITING = re.compile(r"\((selectors|base_events|events|runners|threading|thread|queue|queues)\.py:")
"""Where a thread's innermost frame lies while it waits for work."""

LOOP_HELD = FindingKind(
    "latency.loop_held", says="The thread of the event loop stands in application code and waits there.", leak=0.03
)
IN_FEATURES = FindingKind(
    "latency.stacks_in_features", says="Running threads are mostly in feature code.", leak=0.03, group="latency.stage"
)
IN_MODEL = FindingKind(
    "latency.stacks_in_model",
    says="Running threads are mostly in the model's prediction.",
    leak=0.05,
    group="latency.in_model",
)
IN_LOADING = FindingKind("latency.stacks_in_loading", says="Threads are loading a model.", leak=0.02)
ALL = (LOOP_HELD, IN_FEATURES, IN_MODEL, IN_LOADING)


def place(thread: Thread) -> str:
    """Return what a thread is doing: ``idle``, ``loading``, ``model``, ``features``, or ``other``."""
    if not thread.frames or WAITING.search(thread.frames[0]):
        return "idle"
    if any(LOADING.search(frame) for frame in thread.frames):
        return "loading"
    for frame in reversed(thread.frames):  # from the outermost in: who asked for the work
        if FEATURES.search(frame):
            return "features"
        if INFERENCE.search(frame) or LIBRARIES.search(frame):
            return "model"
    return "other"


def shares(stacks: list[list[Thread]]) -> dict[str, float]:
    """Return the share of the instants in which some thread was in each place, and the loop was held."""
    found: Counter[str] = Counter()
    for threads in stacks:
        found.update({place(thread) for thread in threads if thread.active or place(thread) == "loading"})
        found["held"] += any(thread.main and _held(thread) for thread in threads)
    return {name: found[name] / len(stacks) for name in ("features", "model", "loading", "other", "held")}


def observe(profile: Profile) -> dict[str, float]:
    """Return the shares of a service that is well, for a baseline."""
    return shares(profile.stacks(STACKS))


@probe(findings=ALL, seconds=5.0, load="heavy", deadline=40, name="latency.stacks")
def stacks(profile: Profile) -> Iterable[Finding]:
    """Takes the stacks of all threads a dozen times with py-spy, where the site allows it."""
    seen = profile.stacks(STACKS)
    if len(seen) < FEWEST:
        for kind in ALL:
            yield unknown(kind, f"no data: {len(seen)} stacks are too few")
        return
    now, usual = shares(seen), profile.baseline
    common = Counter(thread.frames[0] for threads in seen for thread in threads if thread.frames and thread.active)
    table = Rows(("innermost frame", "times"), tuple(common.most_common(8)), f"{len(seen)} stacks")
    evidence = Evidence(now, [table])
    for kind, name, turning, told in (
        (LOOP_HELD, "held", 0.3, "something holds the event loop"), (IN_FEATURES, "features", 0.4, "features run"),
        (IN_MODEL, "model", 0.45, "the model predicts"), (IN_LOADING, "loading", 0.2, "a model is loaded"),
    ):  # fmt: skip
        more = now[name] - usual.get(name, 0.0)
        yield measured(
            kind, latency.share(more, turning, steep=8.0, most=2.5), statistic=now[name], evidence=evidence,
            says=f"In {now[name]:.0%} of {len(seen)} stacks {told}, usually in {usual.get(name, 0.0):.0%}.",
        )  # fmt: skip


def _held(thread: Thread) -> bool:
    """Return whether the loop's thread waits inside a callback: off the processor, and not in the loop's own wait."""
    return not thread.active and bool(thread.frames) and not WAITING.search(thread.frames[0])
