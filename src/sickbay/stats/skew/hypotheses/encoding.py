"""The same text or code stored another way: a wrong character set, escapes, numbers as text, label codes."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial

from sickbay.stats.skew.case import Case, Fit
from sickbay.stats.skew.hypotheses.text_normalisation import mapped
from sickbay.stats.skew.levels import table
from sickbay.stats.skew.registered import hypothesis


def _mistaken(stored: str, read: str) -> Callable[[str], str | None]:
    def way(text: str) -> str | None:
        try:
            return text.encode(stored).decode(read)
        except (UnicodeDecodeError, UnicodeEncodeError):
            return None

    return way


def _number(form: Callable[[float], str]) -> Callable[[str], str | None]:
    def way(text: str) -> str | None:
        try:
            return form(float(text))
        except (ValueError, OverflowError):
            return None

    return way


def _truth(pairs: dict[str, str]) -> Callable[[str], str | None]:
    return lambda text: pairs.get(text.strip().lower())


WAYS: dict[str, Callable[[str], str | None]] = {
    "UTF-8 read as Latin-1": _mistaken("utf-8", "latin-1"), "UTF-8 read as Windows-1252": _mistaken("utf-8", "cp1252"),
    "Latin-1 read as UTF-8": lambda s: s.encode("latin-1", "replace").decode("utf-8", "replace"),
    "characters beyond ASCII replaced by ?": lambda s: s.encode("ascii", "replace").decode(),
    "characters beyond ASCII dropped": lambda s: s.encode("ascii", "ignore").decode(),
    "characters beyond ASCII escaped": lambda s: s.encode("ascii", "backslashreplace").decode(),
    "URL-quoted": urllib.parse.quote, "URL-quoted with +": urllib.parse.quote_plus, "HTML-escaped": html.escape,
    "JSON string": json.dumps, "JSON string, UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "printed bytes": lambda s: repr(s.encode()), "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "hexadecimal": lambda s: s.encode().hex(), "quoted": lambda s: f'"{s}"', "single-quoted": lambda s: f"'{s}'",
    "number as float text": _number(lambda x: repr(x)), "number as integer text": _number(lambda x: str(int(x))),
    "leading zeros dropped": lambda s: s.lstrip("0") or "0", "truth value as 1 and 0": _truth({
        "true": "1", "false": "0", "t": "1", "f": "0", "yes": "1", "no": "0", "y": "1", "n": "0",
    }),
    "truth value as True and False": _truth({"true": "True", "false": "False", "1": "True", "0": "False"}),
}  # fmt: skip


@hypothesis(
    "encoding",
    kinds=("text",),
    fix="Declare the character set (UTF-8) and the type at every boundary; keep the encoder with the model's version.",
)
def propose(case: Case) -> Iterator[Fit]:
    """Propose each way of storing the altered side, and codes for labels: a table from words to numbers."""
    for view in case.views():
        for name, way in WAYS.items():
            rule = partial(mapped, way=way)
            says = f"the {view.side} text is: {name}"
            yield Fit(view.side, {"form": name}, [rule(view.source)], 6.0, says=says, apply=rule)
    view = case.view("online")
    numbers = [_is_number(side) for side in (view.source, view.target)]
    if numbers[0] != numbers[1]:
        found = table(view)
        if found is not None:
            made, entries, bits = found
            says = "one side holds codes for the other side's labels"
            yield Fit("online", {"form": "label codes", "codes": entries}, [made], bits - 4, by_values=True, says=says)


def _is_number(values: object) -> bool:
    """Return whether most texts are numbers."""
    listed = [v for v in values.tolist() if v is not None][:500]  # type: ignore[attr-defined]
    good = sum(_number(str)(v) is not None for v in listed if isinstance(v, str))
    return bool(listed) and good > 0.8 * len(listed)
