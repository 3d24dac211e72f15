"""The bottleneck in a call graph: the one that is slow itself, not the one that waits for it."""

from __future__ import annotations

import numpy as np
import pytest

from sickbay.stats.callgraph import localise

CALLS = [("front", "cart"), ("front", "user"), ("cart", "store"), ("user", "store")]


def latencies(count, slow="", factor=1.0, seed=0):
    rng = np.random.default_rng(seed)
    own = {name: 0.01 * np.exp(rng.normal(0, 0.05, count)) for name in ("front", "cart", "user", "store")}
    if slow:
        own[slow] = own[slow] * factor
    store = own["store"]
    cart, user = own["cart"] + store, own["user"] + store
    return {"front": own["front"] + np.maximum(cart, user), "cart": cart, "user": user, "store": store}


@pytest.mark.parametrize("slow", ["front", "cart", "user", "store"])
def test_the_service_that_is_slow_itself_comes_first(slow):
    found = localise(latencies(40), latencies(8, slow, 5.0, seed=1), CALLS)
    assert found[0].service == slow
    assert found[0].seconds > 0.02


def test_windows_without_requests_are_left_out():
    before, now = latencies(40), latencies(8, "cart", 5.0, seed=1)
    for side in (before, now):
        side["user"][::3] = np.nan
    assert localise(before, now, CALLS)[0].service == "cart"


def test_too_little_history_is_an_error():
    with pytest.raises(ValueError, match="8 windows"):
        localise(latencies(5), latencies(5), CALLS)


def test_nothing_is_suspected_where_nothing_changed():
    assert max(s.score for s in localise(latencies(40), latencies(12, seed=2), CALLS)) < 3
