"""The wording that every format shares: probabilities, numbers, times and sentences, so that all of them say the same.

Numbers carry three significant digits, probabilities never claim 0 % or 100 %, and times are UTC and say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sickbay.terms.diagnosis import Diagnosis, RankedCause

NOT_KNOWN = "not known"
MINUS = "\u2212"
LEDGER_LEGEND = (
    "Numbers are natural log odds: +0.7 doubles the odds of a cause, +2.3 makes them ten times larger, "
    f"{MINUS}2.3 ten times smaller."
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LIKELY = ((0.97, "almost certainly"), (0.85, "very probably"), (0.65, "probably"), (0.5, "more likely than not"))


def clean(text: object, limit: int = 400) -> str:
    """Return the text with control characters replaced and cut to ``limit`` characters, saying how many are left out.

    Names, log lines and column values come from systems that nobody vouches for: an escape sequence would repaint the
    reader's terminal, and a megabyte in one cell would bury the report.

    >>> clean("a\\x1b[2Jb")
    'a\ufffd[2Jb'
    """
    plain = _CONTROL.sub("\ufffd", str(text))
    if len(plain) <= limit:
        return plain
    return f"{plain[: limit - 1]}… ({number(len(plain) - limit + 1)} characters more)"


def number(value: object) -> str:
    """Return a number for people: three significant digits, thousands separated, ``not known`` for NaN and None.

    >>> number(0.041234), number(12345), number(-3.0), number(float("nan"))
    ('0.0412', '12,345', '−3', 'not known')
    """
    if value is None:
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    if not isinstance(value, float):
        return clean(value)
    if math.isnan(value):
        return NOT_KNOWN
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        text = f"{value:.2e}"
    elif size >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", MINUS)


def value(thing: object) -> str:
    """Return any cell of a table for people: numbers, times, and text made harmless."""
    if isinstance(thing, datetime):
        return moment(thing)
    if isinstance(thing, date):
        return thing.isoformat()
    return number(thing.item() if hasattr(thing, "item") and hasattr(thing, "dtype") else thing)


def cells(rows: Sequence[Sequence[object]]) -> list[tuple[str, ...]]:
    """Return rows for people; the fractions of a column share one number of decimals, so that their points align.

    >>> cells([(0.78, "a"), (0.7791, "b")])
    [('0.780', 'a'), ('0.779', 'b')]
    """
    decimals = [_decimals([row[i] for row in rows if i < len(row)]) for i in range(max(map(len, rows), default=0))]
    return [tuple(_cell(thing, decimals[i]) for i, thing in enumerate(row)) for row in rows]


def _decimals(column: Sequence[object]) -> int | None:
    floats = [thing for thing in column if isinstance(thing, float) and math.isfinite(thing)]
    if not floats or any(not 1e-4 <= abs(f) < 1000 for f in floats if f):
        return None
    return min(4, max(len(number(f).partition(".")[2]) for f in floats))


def _cell(thing: object, decimals: int | None) -> str:
    if decimals is None or not isinstance(thing, float) or not math.isfinite(thing):
        return value(thing)
    return f"{thing:.{decimals}f}".replace("-", MINUS)


def statistic(amount: float | None, unit: str) -> str:
    """Return a finding's statistic with its unit; a share (``unit`` empty or ``share``) stays a plain number."""
    if amount is None:
        return ""
    if unit == "%":
        return f"{number(float(amount))}%"
    return f"{number(float(amount))} {clean(unit, 40)}".rstrip()


def percent(share: float) -> str:
    """Return a probability or share for people; the ends are never rounded to certainty.

    >>> percent(0.943), percent(0.9971), percent(0.0004), percent(1.0)
    ('94%', '>99%', '<1%', '>99%')
    """
    if not math.isfinite(share):
        return NOT_KNOWN
    if share > 0.99:
        return ">99%"
    if share < 0.01:
        return "<1%"
    return f"{share:.0%}"


def share(amount: float) -> str:
    """Return a share that may well be all or nothing, such as coverage, as whole percent."""
    if not math.isfinite(amount):
        return NOT_KNOWN
    if 0.99 < amount < 1 or 0 < amount < 0.01:
        return percent(amount)
    return f"{amount:.0%}"


def tick(amount: float, step: float, *, as_share: bool = False) -> str:
    """Return the label of an axis tick with as many decimals as tell neighbours ``step`` apart.

    >>> tick(0.025, 0.025, as_share=True), tick(0.9, 0.1), tick(1500, 500)
    ('2.5%', '0.9', '1,500')
    """
    scale = 100.0 if as_share else 1.0
    decimals = next((d for d in range(8) if abs(round(step * scale, d) - step * scale) < 1e-9 * scale), 8)
    return f"{amount * scale:,.{decimals}f}{'%' if as_share else ''}".replace("-", MINUS)


def log_odds(amount: float) -> str:
    """Return a term of the ledger with its sign, for example ``+2.1``.

    >>> log_odds(2.07), log_odds(-0.31), log_odds(0.001)
    ('+2.1', '−0.3', '0.0')
    """
    if not math.isfinite(amount):
        return NOT_KNOWN
    if abs(amount) < 0.05:
        return "0.0"
    return f"{amount:+.1f}".replace("-", MINUS)


def moment(when: datetime, *, day: bool = True) -> str:
    """Return an instant in UTC, to the minute; a time without a zone is taken as UTC."""
    aware = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    return aware.strftime("%Y-%m-%d %H:%M UTC" if day else "%H:%M UTC")


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that matter.

    >>> duration(4.13), duration(95), duration(7260)
    ('4.1 s', '1 min 35 s', '2 h 1 min')
    """
    if not math.isfinite(seconds):
        return NOT_KNOWN
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def count(many: int, noun: str, plural: str = "") -> str:
    """Return ``1 finding`` or ``3 findings``."""
    return f"{number(many)} {noun if many == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def title(cause: RankedCause) -> str:
    """Return the cause's name for people."""
    return clean(cause.title or humanised(cause.id), 120)


def humanised(name: str) -> str:
    """Return an id as words: ``features.nulls_jumped`` becomes ``Features: nulls jumped``.

    >>> humanised("data-drift"), humanised("features.nulls_jumped")
    ('Data drift', 'Features: nulls jumped')
    """
    words = clean(name, 120).replace("-", " ").replace("_", " ").replace(".", ": ").strip()
    return words[:1].upper() + words[1:]


def lower_first(text: str) -> str:
    """Return the text ready for the middle of a sentence; an acronym or a code name keeps its capitals."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def sentence(text: str) -> str:
    """Return the text with a capital and a full stop; a name at its head, such as a column's, keeps its spelling.

    >>> sentence("values moved"), sentence("amount_eur: 100 times larger"), sentence("amount: constant.")
    ('Values moved.', 'amount_eur: 100 times larger.', 'amount: constant.')
    """
    stripped = clean(text, 2000).strip()
    if not stripped:
        return ""
    head = stripped.split(maxsplit=1)[0]
    opening = stripped[:1].upper() if head.replace(",", "").replace("-", "").isalpha() else stripped[:1]
    return opening + stripped[1:] + ("" if stripped[-1] in ".!?…" else ".")


def because(reason: str) -> str:
    """Return the reason of an unknown finding (``word: explanation``) as a sentence of its own."""
    said = sentence(reason)
    return said[:1].upper() + said[1:]


def likely(probability: float) -> str:
    """Return how a probability of a cause is said in words; the number always stands beside them."""
    return next((words for bound, words in _LIKELY if probability >= bound), "possibly")


def verdict(diagnosis: Diagnosis) -> str:
    """Return the first line of every report: the leading cause and its probability, or honestly why there is none."""
    known = sum(f.status == "measured" for f in diagnosis.findings)
    about = clean(diagnosis.system, 80)
    if not known:
        asked = {0: "no probe ran", 1: "the only finding is unknown"}.get(
            len(diagnosis.findings), f"all {number(len(diagnosis.findings))} findings are unknown"
        )
        return f"Nothing could be measured on {about}: {asked}, so no cause can be named or ruled out."
    leader, none = diagnosis.leader, diagnosis.none_of_these
    if leader is None or not math.isfinite(leader.probability) or none >= leader.probability:
        return _none_leads(diagnosis, leader, none)
    pair = both(diagnosis)
    if pair:
        names = listed([lower_first(title(c)) for c in pair[:2]])
        return f"Two faults at once, {likely(pair[2])} ({percent(pair[2])}): {names}."
    if leader.probability >= 0.5:
        return f"{title(leader)}, {likely(leader.probability)} ({percent(leader.probability)})."
    name = lower_first(title(leader))
    return f"No cause is established; the likeliest is {name} ({percent(leader.probability)})."


def _none_leads(diagnosis: Diagnosis, leader: RankedCause | None, none: float) -> str:
    symptom = diagnosis.finding(diagnosis.symptom) if diagnosis.symptom else None
    best = f"; the likeliest is {lower_first(title(leader))} ({percent(leader.probability)})" if leader else ""
    if symptom is not None and symptom.status == "measured" and not symptom.on:
        return f"The symptom was not found, and no catalogued cause is believed (none of these: {percent(none)}){best}."
    return f"No catalogued cause explains what was measured (none of these: {percent(none)}){best}."


def both(diagnosis: Diagnosis) -> tuple[RankedCause, RankedCause, float] | None:
    """Return the pair of causes that are more likely present together than not, and its probability, or None."""
    by_id = {cause.id: cause for cause in diagnosis.causes}
    pairs = [(by_id[a], by_id[b], p) for a, b, p in diagnosis.pairs if a in by_id and b in by_id and p >= 0.5]
    return max(pairs, key=lambda pair: pair[2], default=None)


def stopped(diagnosis: Diagnosis) -> str:
    """Return why the investigation ended, in a sentence."""
    if not diagnosis.findings and diagnosis.stopped in ("confident", "exhausted"):
        return "Stopped because there was no probe to run."
    budget = diagnosis.settings.get("budget")
    allowed = f" of {setting('budget', budget)}" if budget is not None else ""
    return {
        "confident": "Stopped because the answer was settled: nothing left to measure put it in doubt.",
        "budget": f"Stopped because the time budget{allowed} was used up; a larger one may change the ranking.",
        "exhausted": "Stopped because every probe that could still change the ranking had run.",
        "interrupted": "Interrupted before the end: this is what was known at that moment.",
    }.get(diagnosis.stopped, f"Stopped: {clean(diagnosis.stopped, 80)}.")


def setting(name: str, thing: object) -> str:
    """Return a setting of the investigation as it would be typed on the command line."""
    if isinstance(thing, timedelta):
        return f"{thing.total_seconds():g}s"
    if isinstance(thing, datetime):
        aware = thing if thing.tzinfo else thing.replace(tzinfo=UTC)
        return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if name == "budget" and isinstance(thing, int | float):
        return f"{thing:g}s"
    return clean(thing, 200)


def again(diagnosis: Diagnosis) -> str:
    """Return the command that runs the same investigation again."""
    parts = ["sickbay", "investigate", *([diagnosis.scenario] if diagnosis.scenario else [])]
    settings: Mapping[str, Any] = diagnosis.settings
    site = settings.get("site")
    if isinstance(site, str) and site.endswith(".toml") and site != "sickbay.toml":
        parts += ["--site", _quoted(site)]
    for name in ("model", "since", "until", "budget", "mode"):
        if settings.get(name) is not None:
            parts += [f"--{name}", _quoted(setting(name, settings[name]))]
    return " ".join(clean(part, 200) for part in parts)


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.:/+-]+", text) else "'" + text.replace("'", "'\\''") + "'"
