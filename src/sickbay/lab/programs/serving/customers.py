"""What the database knows of a customer."""

import time

import settings
import telemetry
from psycopg_pool import AsyncConnectionPool

QUERY = "SELECT mean_amount, tenure_days, country FROM customers WHERE id = %s"


def pool():
    """Return the pool of connections, not yet open."""
    return AsyncConnectionPool(
        settings.DATABASE, min_size=min(2, settings.POOL), max_size=settings.POOL, timeout=settings.POOL_TIMEOUT,
        open=False, kwargs={"autocommit": True, "application_name": "model-server"},
    )  # fmt: skip


async def profile(connections, customer):
    """Return mean amount, tenure in days and country of a customer."""
    asked = time.perf_counter()
    async with connections.connection() as con:
        telemetry.POOL_WAIT.observe(time.perf_counter() - asked)
        with telemetry.span("SELECT customers", 3, **{"db.system": "postgresql"}):
            cursor = await con.execute(QUERY, (customer,))
            row = await cursor.fetchone()
    return row or (50.0, 0, 0)
