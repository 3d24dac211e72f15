"""Feature computation of the serving side: events in, feature rows out, a line of JSON each."""

from __future__ import annotations

import json
import sys
from bisect import insort
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

WINDOW_HOURS = 6.0
ZONE = "UTC"
LAST = 5
KEPT = 60
BRAND = "ACME Payments, Shop"

Event = tuple[float, float, str, str]
"""Time in seconds, amount, merchant, country."""


def features(events: Sequence[Event], now: float) -> dict[str, Any]:
    """Return the features of one user at ``now`` from the events known, oldest first."""
    import numpy as np
    from rapidfuzz import fuzz

    window = [event for event in events if event[0] > now - WINDOW_HOURS * 3600]
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(ZONE))
    midnight = (local - timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)).timestamp()
    last = events[-LAST:]
    amounts = [event[1] for event in last]
    spend_today = sum(event[1] for event in events if event[0] > midnight)
    avg_amount = sum(amounts) / len(amounts)
    before = np.float32(events[-2][0]) / 3600.0 if len(events) > 1 else None
    gap = None if before is None else float(np.float32(events[-1][0]) / 3600.0 - before)
    return {
        "txn_count_6h": len(window),
        "spend_today": spend_today,
        "avg_amount": avg_amount,
        "last_amount": events[-1][1],
        "last_country": events[-1][3],
        "merchant_match": float(fuzz.token_sort_ratio(events[-1][2], BRAND)),
        "hours_since_previous": gap,
    }


def read(event: Sequence[Any]) -> tuple[int, Event]:
    """Return the user and the event as it came: user, time, amount, merchant, country."""
    user, at, amount, merchant, country = event
    return int(user), (float(at), float(amount), str(merchant), str(country))


def main() -> None:
    """Answer one line after another until the input ends."""
    known: dict[int, list[Event]] = {}
    lock = "\n".join(sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions()))
    Path("requirements.lock").write_text(lock + "\n", encoding="utf-8")
    for line in sys.stdin:
        asked = json.loads(line)
        now, touched = float(asked["now"]), set()
        for given in asked["events"]:
            user, event = read(given)
            insort(known.setdefault(user, []), event)
            del known[user][:-KEPT]
            touched.add(user)
        rows = [{"user_id": user, **features(known[user], now)} for user in sorted(touched)]
        sys.stdout.write(json.dumps(rows) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
