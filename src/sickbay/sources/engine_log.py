"""A prediction log that stays in its engine (PostgreSQL, Spark, ClickHouse): windows of it as portable tables.

Nothing is copied: a window is a sub-select with the roles under their fixed names, and statistics run over it there.
What a file may leave to be guessed has to be plain here: the timestamp is a timestamp, labels and predictions of a
binary model are 0 and 1 or booleans.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from sickbay.config import Model, choose_model
from sickbay.errors import TableError, nearest
from sickbay.sources.context import Context
from sickbay.sources.relations import TIMES, Kind, Relation, kind_of, open_relation
from sickbay.sources.roles import PLAIN

if TYPE_CHECKING:
    from sqlglot import exp

ENGINES = ("postgresql://", "postgres://", "spark://", "sc://", "chdb://")
NUMERIC_ROLES = ("__predicted", "__score", "__label", "__latency")


def stays_in_engine(table: Any) -> bool:
    """Return whether a table named in the site file is one that is read where it is."""
    return (isinstance(table, str) and table.startswith(ENGINES)) or type(table).__module__.startswith("pyspark.")


@dataclass(slots=True)
class EngineLog:
    """The log of one model and its reference; what ``sickbay watch`` asks of a log."""

    model: str
    settings: Model
    task: str
    log: Relation
    baseline: Relation | None
    kinds: Mapping[str, Kind]
    roles: frozenset[str]
    reference_roles: frozenset[str]
    first: datetime | None
    last: datetime | None

    @classmethod
    def connect(cls, context: Context) -> Self:
        """Open the log and the reference; TableError for columns that are not there or not plain, SourceError."""
        name, settings = choose_model(context.site, context.model)
        base, key = context.site.base, f"model.{name}"
        log = open_relation(settings.predictions, base=base, key=f"{key}.predictions", environ=context.environ)
        baseline = None
        try:
            if settings.reference is not None:
                given = settings.reference
                baseline = open_relation(given, base=base, key=f"{key}.reference", environ=context.environ)
            return cls._of(name, settings, log, baseline)
        except BaseException:
            log.close()
            if baseline is not None:
                baseline.close()
            raise

    @classmethod
    def _of(cls, name: str, settings: Model, log: Relation, baseline: Relation | None) -> Self:
        named = settings.columns.named()
        for role, column in named.items():
            if column not in log.types:
                hint = nearest(column, log.types) or f"columns there: {', '.join(list(log.types)[:20])}"
                raise TableError(f"model.{name}.columns.{role}: {log.says} has no column {column!r}", hint=hint)
        when = named.get("timestamp")
        if when is None or not log.types[when].lower().startswith(TIMES[:2]):
            raise TableError(
                f"model.{name}.columns.timestamp: {when!r} is no timestamp in {log.says}",
                hint="a log that stays in its engine needs a column of a timestamp type",
            )
        features = settings.features or [n for n in log.kinds if n not in named.values()]
        kinds = {feature: log.kinds[feature] for feature in log.only(list(features))}
        made = cls(name, settings, settings.task, log, baseline, kinds, frozenset(), frozenset(), None, None)
        made.roles = made._filled(log)
        made.reference_roles = made._filled(baseline) if baseline is not None else frozenset()
        made.first, made.last = made._span(when)
        return made

    def window(self, start: datetime | None, end: datetime | None, name: str = "") -> Relation:
        """Return the rows from ``start`` (included) to ``end`` (excluded), UTC, as a table of the engine."""
        return self._view(self.log, self.roles, start, end, name)

    def reference(self) -> Relation | None:
        """Return the reference as a table, or None where the site names none."""
        return self._view(self.baseline, self.reference_roles, None, None, "reference") if self.baseline else None

    def why_no(self, role: str) -> str:
        """Return why the log has no values in this role."""
        return f"no data: {self.log.says} holds no value in the {PLAIN[role]} column"

    def close(self) -> None:
        """Give back both connections."""
        self.log.close()
        if self.baseline is not None:
            self.baseline.close()

    def _view(
        self, table: Relation, roles: frozenset[str], start: datetime | None, end: datetime | None, name: str
    ) -> Relation:
        from sqlglot import exp

        there = [feature for feature in self.kinds if feature in table.kinds]
        columns: list[exp.Expression] = [exp.column(feature, quoted=True) for feature in there]
        columns += [exp.alias_(self._role(table, role), role) for role in NUMERIC_ROLES if role in roles]
        if "__loss" in roles:
            gap = exp.Sub(this=self._role(table, "__label"), expression=self._role(table, "__predicted"))
            columns.append(exp.alias_(exp.Abs(this=exp.Paren(this=gap)), "__loss"))
        select = exp.select(*columns).from_(table.source)
        when = exp.column(self.settings.columns.timestamp or "", quoted=True)
        for moment, kind in ((start, exp.GTE), (end, exp.LT)):
            if moment is not None:
                literal = exp.Literal.string(f"{moment.replace(tzinfo=None):%Y-%m-%d %H:%M:%S.%f}")
                select = select.where(kind(this=when.copy(), expression=exp.cast(literal, "timestamp")))
        types = {feature: table.types[feature] for feature in there}
        return Relation(
            says=name or table.says, dialect=table.dialect, source=select.subquery("given"), types=types, run=table.run,
            layout=table.layout, has_try_cast=table.has_try_cast, roles=roles,
        )  # fmt: skip

    def _role(self, table: Relation, role: str) -> exp.Expression:
        """Return a role as a double: numbers as they are, booleans as 0 and 1."""
        from sqlglot import exp

        column = exp.column(self.settings.columns.named()[PLAIN[role]], quoted=True)
        kind = table.types[column.name].lower()
        if kind.startswith("bool"):
            yes = exp.Case().when(column, exp.convert(1.0))
            return yes.when(exp.Not(this=column.copy()), exp.convert(0.0))
        return exp.cast(column, "double")

    def _filled(self, table: Relation) -> frozenset[str]:
        """Return the roles that hold values; TableError for a label or prediction of text."""
        from sqlglot import exp

        named = self.settings.columns.named()
        there = [role for role in NUMERIC_ROLES if named.get(PLAIN[role]) in table.types]
        for role in there:
            column = named[PLAIN[role]]
            kind, _ = kind_of(table.types[column])
            if kind != "number" and not table.types[column].lower().startswith("bool"):
                raise TableError(
                    f"{table.says}: the {PLAIN[role]} column {column!r} is {table.types[column]}",
                    hint="numbers or booleans are needed where the log stays in its engine; a view can make them",
                )
        counts = [exp.alias_(exp.Count(this=self._role(table, role)), f"n{i}") for i, role in enumerate(there)]
        if not counts:
            return frozenset()
        found = table.query(exp.select(*counts).from_("rows"))
        filled = {role for i, role in enumerate(there) if float(found[f"n{i}"][0]) > 0}
        if {"__label", "__predicted"} <= filled:
            filled.add("__loss")
        return frozenset(filled)

    def _span(self, when: str) -> tuple[datetime | None, datetime | None]:
        from sqlglot import exp

        column = exp.column(when, quoted=True)
        ends = [exp.alias_(exp.Min(this=column), "a"), exp.alias_(exp.Max(this=column.copy()), "b")]
        found = self.log.query(exp.select(*ends).from_("rows"))
        return _moment(found["a"][0]), _moment(found["b"][0])


def _moment(value: Any) -> datetime | None:
    """Return an instant in UTC without a zone, from whatever the engine's client makes of a timestamp."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is not None:
        from datetime import UTC

        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment
