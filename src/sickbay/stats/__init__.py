"""Statistics as table expressions and arrays; knows no source.

Whatever runs over a whole table is a sqlglot expression against the name ``rows`` and gives aggregates back; whatever
needs single rows works on a bounded sample, as numpy arrays.
"""
