"""Rendering portable expressions for an engine: the few places where sqlglot's own rendering is not what runs there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sqlglot import exp

from sickbay.errors import TableError

ALLOWED = frozenset({
    "Select", "From", "Where", "Group", "Order", "Ordered", "Limit", "Join", "Union", "Subquery", "Table",
    "TableAlias", "Identifier", "Column", "Alias", "Star", "Literal", "Null", "Boolean", "Paren", "Not", "And", "Or",
    "Is", "In", "EQ", "LT", "LTE", "GT", "GTE", "Mul", "Add", "Sub", "Div", "Neg", "Abs", "Ceil", "Case", "If", "Cast",
    "TryCast", "DataType", "Count", "Sum", "Min", "Max", "Avg", "ApproxDistinct", "Window", "RowNumber",
    "TimestampTrunc", "DateTrunc", "Var", "Mod", "MD5",
})  # fmt: skip
"""What engines render alike (DESIGN.md §8); sqlglot does not refuse what an engine lacks, so all else is refused."""
OWN = {
    "duckdb": frozenset({
        "Anonymous", "BitwiseAnd", "Create", "CTE", "Distinct", "Filter", "NEQ", "Properties", "TemporaryProperty",
        "With",
    })
}  # fmt: skip
"""What one engine alone is asked besides, where a test holds the answer against the portable form's."""
ROWS = "rows"
EXACT_DISTINCT = ("postgres",)


def render(
    select: exp.Expression,
    dialect: str,
    source: exp.Expression | Mapping[str, exp.Expression],
    types: Mapping[str, str] | None = None,
) -> str:
    """Return SQL of ``dialect`` that reads from ``source`` where the expression says ``rows``.

    ``source`` may name several tables: the expression's name → what is read.

    Raises TypeError for a kind of expression outside the portable core: a defect of the caller.
    """
    allowed = ALLOWED | OWN.get(dialect, frozenset())
    for node in select.walk():
        if type(node).__name__ not in allowed:
            raise TypeError(f"{type(node).__name__} is outside the portable core of expressions")
    booleans = {name for name, engine_type in (types or {}).items() if engine_type.lower().startswith("bool")}
    sources = source if isinstance(source, Mapping) else {ROWS: source}
    made = select.copy().transform(partial(_node, dialect=dialect, sources=sources, booleans=booleans), copy=False)
    return str(made.sql(dialect=dialect, identify=True))


def _node(
    node: exp.Expression, *, dialect: str, sources: Mapping[str, exp.Expression], booleans: set[str]
) -> exp.Expression:
    if isinstance(node, exp.Table) and node.name in sources:
        return sources[node.name].copy()
    if isinstance(node, exp.ApproxDistinct) and dialect in EXACT_DISTINCT:
        return exp.Count(this=exp.Distinct(expressions=[node.this]))
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Column) and node.this.name in booleans:
        # engines write booleans as true, t, True or 1
        yes = node.this.copy()
        no = exp.Not(this=yes.copy())
        return exp.Case().when(yes, exp.Literal.string("true")).when(no, exp.Literal.string("false"))
    return node


def table_of(name: str, dialect: str) -> exp.Expression:
    """Return the table ``schema.table`` as an expression; TableError when it is no name of a table."""
    from sqlglot.errors import ParseError

    try:
        return exp.to_table(name, dialect=dialect)
    except (ParseError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise TableError(f"{name!r} is not the name of a table: {first}", hint="write schema.table") from None
