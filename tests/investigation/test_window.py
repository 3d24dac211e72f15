"""Times and lengths of time as people write them, nonsense included."""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sickbay.errors import UserError
from sickbay.terms import window

NONSENSE = [
    "",
    " ",
    "yesterday",
    "7 days",
    "-7d",
    "7",
    "1e9d",
    "d7",
    "2026-13-01",
    "2026-01-32",
    "٧d x",
    "\x00",
    "7d7d",
]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", timedelta(minutes=90)),
        ("36h", timedelta(hours=36)),
        ("7d", timedelta(days=7)),
        ("1.5h", timedelta(minutes=90)),
        (" 2 w ", timedelta(weeks=2)),
        ("10min", timedelta(minutes=10)),
    ],
)
def test_since_takes_a_length_of_time(text: str, length: timedelta) -> None:
    assert window.since(text) == length


@pytest.mark.parametrize(
    "text", ["2026-01-05T03:00Z", "2026-01-05T03:00", "2026-01-05T04:00+01:00", "2026-01-04T22:00-05:00"]
)
def test_instants_come_out_in_utc(text: str) -> None:
    for read in (window.since, window.until):
        moment = read(text)
        assert moment == datetime(2026, 1, 5, 3, tzinfo=UTC)
        assert moment.tzinfo is UTC  # type: ignore[union-attr]


def test_datetimes_without_a_zone_are_taken_as_utc() -> None:
    plain = datetime(2026, 1, 5)
    assert window.since(plain) == window.until(plain) == datetime(2026, 1, 5, tzinfo=UTC)


def test_nothing_asked_is_nothing() -> None:
    assert window.since(None) is window.until(None) is window.budget(None) is None


@pytest.mark.parametrize("text", NONSENSE)
@pytest.mark.parametrize("option", ["since", "until"])
def test_nonsense_is_refused_with_an_example(text: str, option: str) -> None:
    with pytest.raises(UserError, match=f"--{option}") as caught:
        getattr(window, option)(text)
    assert "7d" in caught.value.hint


@pytest.mark.parametrize("text", [*[n for n in NONSENSE if n != "7"], "-1", "nan", "inf", "1e400"])
def test_a_budget_of_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="--budget") as caught:
        window.budget(text)
    assert caught.value.hint


@pytest.mark.parametrize("number", [-1.0, math.nan, -math.inf])
def test_a_budget_that_is_no_time_is_refused(number: float) -> None:
    with pytest.raises(UserError, match="--budget"):
        window.budget(number)


@pytest.mark.parametrize(
    ("given", "seconds"), [("60s", 60.0), ("2m", 120.0), ("90", 90.0), (5, 5.0), (timedelta(minutes=1), 60.0), (0, 0.0)]
)
def test_a_budget_comes_out_in_seconds(given: str | float | timedelta, seconds: float) -> None:
    assert window.budget(given) == seconds


@pytest.mark.parametrize("text", ["999999999999d", "9" * 400 + "d"])
def test_a_length_beyond_all_calendars_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--since"):
        window.since(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_and_never_crashes(text: str) -> None:
    for read in (window.since, window.until, window.budget):
        with contextlib.suppress(UserError):
            read(text)
