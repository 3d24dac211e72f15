"""What an alarm says beyond the figure that raised it: where the loss stands out, and what the score leans on now."""

from __future__ import annotations

from sickbay.stats import slices
from sickbay.stats.profile import Profile
from sickbay.stats.table import Table

MOST = 3
LEANS = 0.1
"""Change of the share of the score's variance a column explains that is worth a word."""


def where(reference: Table | None, window: Table, profile: Profile) -> str:
    """Return the slices of the window whose loss stands out, in words; empty where none does."""
    found = slices.worst(reference, window, slices.cuts(profile, _of(profile, window)), most=MOST)
    return "; ".join(_slice(one) for one in found)


def leaning(reference: Table | None, window: Table, profile: Profile) -> str:
    """Return the columns that explain far more or less of the score than they did, in words; empty where none does."""
    if reference is None:
        return ""
    found = slices.importances(reference, window, slices.cuts(profile, _of(profile, window)))
    moved = [one for one in found if abs(one.now - one.before) > LEANS]
    return ", ".join(f"{one.column} {one.before:.0%} → {one.now:.0%}" for one in moved[:MOST])


def _of(profile: Profile, window: Table) -> list[str]:
    return [name for name in profile.columns if name in window.kinds]


def _slice(one: slices.Slice) -> str:
    before = "" if one.before != one.before else f", {one.before:.3g} in the reference"
    return f"{one.says}: {one.loss:.3g} against {one.elsewhere:.3g} elsewhere{before} ({one.rows:,.0f} rows)"
