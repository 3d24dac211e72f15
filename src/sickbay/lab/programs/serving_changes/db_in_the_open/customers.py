"""What the database knows of a customer."""

import psycopg
import settings
import telemetry
from psycopg_pool import AsyncConnectionPool

QUERY = (
    "SELECT coalesce(avg(amount), 50), count(*), count(DISTINCT amount) %% 20 FROM payments WHERE customer = ANY(%s)"
)
NEIGHBOURS = settings.number("NEIGHBOURS", 10)


def pool():
    """Return the pool of connections, not yet open."""
    return AsyncConnectionPool(settings.DATABASE, min_size=1, max_size=settings.POOL, open=False)


async def profile(connections, customer):
    """Return mean amount, payments and country of a customer, over those like it."""
    with (
        telemetry.span("SELECT payments", 3, **{"db.system": "postgresql"}),
        psycopg.connect(settings.DATABASE, autocommit=True) as con,
    ):
        for step in range(NEIGHBOURS):
            row = con.execute(QUERY, ([customer, customer + step],)).fetchone()
    return tuple(float(value) for value in row)
