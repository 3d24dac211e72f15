"""Every hypothesis on its named cases: ``tests/cases/skew/<id>.toml``; a hypothesis without cases fails by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sickbay.stats.skew import IDS, History, Pairs, explain
from sickbay.stats.skew.registered import hypotheses

CASES = Path(__file__).parent.parent / "cases" / "skew"


def load() -> list[tuple[str, dict[str, Any]]]:
    return [
        (file.stem, case)
        for file in sorted(CASES.glob("*.toml"))
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]
    ]


def array(values: list[Any], kind: str = "number") -> np.ndarray:
    return np.array(values, dtype=object) if kind == "text" else np.array(values, dtype=np.float64)


def test_the_hypotheses_are_those_of_the_contract_and_each_has_a_case_for_and_one_against():
    assert tuple(hypotheses()) == IDS
    named = {id: [case["first"] for stem, case in load() if stem == id] for id in IDS}
    assert [id for id, firsts in named.items() if id not in firsts or all(f == id for f in firsts)] == []


@pytest.mark.parametrize(("id", "case"), load(), ids=lambda it: it["name"] if isinstance(it, dict) else it)
def test_a_case_is_explained_as_named(id, case):
    kind = case.get("kind", "number")
    others = {
        side: {n: array(v) for n, v in case.get(side, {}).items()} for side in ("others_offline", "others_online")
    }
    entity = np.array(case["entity"], dtype=np.int64) if "entity" in case else None
    time = array(case["time"]) if "time" in case else None
    history = None
    if "history_value" in case:
        who = np.array(case["history_entity"], dtype=np.int64)
        history = History(who, array(case["history_time"]), array(case["history_value"]))
    pairs = Pairs(
        case.get("feature", "feature"), kind, array(case["offline"], kind), array(case["online"], kind), entity, time,
        others["others_offline"], others["others_online"],
    )  # fmt: skip
    found = explain(pairs, history=history)
    assert (found.leader.hypothesis if found.leader else "") == case["first"], found
    if found.leader:
        assert found.leader.parameters | case.get("parameters", {}) == dict(found.leader.parameters)
        assert found.leader.side == case.get("side", "online")
        assert found.leader.coverage > 0.9
        assert found.leader.fix
