"""When a line of a log was written: the formats that servers use, to the fraction of a second."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sickbay.sources.logs import instant

WHOLE = datetime(2026, 11, 23, 16, 35, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "micros"),
    [
        ('{"time": "2026-11-23T16:35:14.987654+00:00", "status": 502}', 987654),
        ("2026-11-23 16:35:14,250 UTC ERROR out of memory", 250_000),
        ("2026/11/23 16:35:14Z [error] 7#7: upstream", 0),
        ("2026-11-23T16:35:14.5Z", 500_000),
        ("2026-11-23T16:35:14.123456789Z stderr F", 123_456),
        ("2026-11-23T18:05:14.000001+01:30", 1),
        ("2026-11-23T11:35:14.75-0500", 750_000),
        ("10.0.0.7 - - [23/Nov/2026:17:35:14 +0100] GET /", 0),
    ],
)
def test_an_instant_is_read_to_the_fraction_of_a_second(line, micros):
    assert instant(line) == WHOLE.replace(microsecond=micros)


@pytest.mark.parametrize("line", ["no time", "2026-13-45T99:00:00Z", "[99/Nov/2026:17:35:14 +0100]", ""])
def test_a_line_without_an_instant_has_none(line):
    assert instant(line) is None
