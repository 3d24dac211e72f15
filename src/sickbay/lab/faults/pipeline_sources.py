"""Breaks what the nightly pipeline reads: the partner's API, the shop's database, the way to them; each for real."""

from __future__ import annotations

from collections.abc import Iterator

from sickbay.errors import UserError
from sickbay.lab.faults.nights import spoilt
from sickbay.lab.systems.nightly import DATABASE, ORDERS_HOST, PASSWORD, RATES_HOST, ROLE, Pipeline
from sickbay.registry import fault


@fault(produces="external-api-down", system="pipeline")
def stop_rates_api(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Stops the partner's API: nobody listens there any more."""
    system.begin()
    assert system.api is not None
    system.api.stop()
    system.to_api.set("refuse")  # who forwards to nobody would take the connection first

    def undo() -> None:
        system.start_api()
        system.to_api.set("pass")

    yield from spoilt(system, undo)


@fault(produces="external-api-down", system="pipeline")
def close_rates_api_for_maintenance(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the partner's API answer everything with an error of its own."""
    system.begin()
    system.behave(status=(503, 500, 502)[seed % 3])
    yield from spoilt(system, system.behave)


@fault(produces="external-api-down", system="pipeline")
def freeze_rates_api(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Freezes the partner's API: it takes connections and never answers."""
    system.begin()
    server = system.api
    assert server is not None
    server.freeze()
    yield from spoilt(system, server.thaw)


@fault(produces="source-database-unreachable", system="pipeline")
def cut_orders_database(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Cuts the line to the shop's database: connections are refused."""
    system.begin()
    system.to_database.set("refuse")
    yield from spoilt(system, lambda: system.to_database.set("pass"))


@fault(produces="source-database-unreachable", system="pipeline")
def hang_orders_database(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Freezes the shop's database server: connections are taken, no answer comes."""
    system.begin()
    system.database.server.freeze()
    yield from spoilt(system, system.database.server.thaw)


@fault(produces="source-database-unreachable", system="pipeline")
def close_orders_database(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Closes the shop's database for everybody, as for a migration."""
    system.begin()
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'"
    system.database.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false", end)
    yield from spoilt(system, lambda: system.database.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true"))


@fault(produces="source-auth-failure", system="pipeline")
def revoke_rates_key(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Revokes the pipeline's key at the partner: 401 or 403."""
    system.begin()
    system.behave(key=f"renewed-{seed}", refusal=(401, 403)[seed % 2])
    yield from spoilt(system, system.behave)


@fault(produces="source-auth-failure", system="pipeline")
def rotate_orders_password(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Gives the pipeline's database role another password, and does not tell the pipeline."""
    system.begin()
    system.database.execute(f"ALTER ROLE {ROLE} PASSWORD 'rotated-{seed}'")
    yield from spoilt(system, lambda: system.database.execute(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'"))


@fault(produces="source-auth-failure", system="pipeline")
def withdraw_orders_right(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Withdraws the pipeline's right to read the orders, or to log in at all."""
    acts = (
        (f"REVOKE SELECT ON orders FROM {ROLE}", f"GRANT SELECT ON orders TO {ROLE}"),
        (f"ALTER ROLE {ROLE} NOLOGIN", f"ALTER ROLE {ROLE} LOGIN"),
    )
    do, undo = acts[seed % 2]
    system.begin()
    system.database.execute(do, database=DATABASE)
    yield from spoilt(system, lambda: system.database.execute(undo, database=DATABASE))


@fault(produces="source-schema-change", system="pipeline")
def change_rates_schema(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Lets the partner's API answer in another shape: a field renamed, of another type, gone, or one level deeper."""
    system.begin()
    system.behave(schema=("renamed", "retyped", "dropped", "nested")[seed % 4])
    yield from spoilt(system, system.behave)


@fault(produces="source-schema-change", system="pipeline")
def change_orders_schema(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Renames a column of the shop's orders, or the table."""
    acts = (
        ("ALTER TABLE orders RENAME amount TO amount_cents", "ALTER TABLE orders RENAME amount_cents TO amount"),
        ("ALTER TABLE orders RENAME currency TO iso_code", "ALTER TABLE orders RENAME iso_code TO currency"),
        ("ALTER TABLE orders RENAME TO orders_v2", "ALTER TABLE orders_v2 RENAME TO orders"),
    )
    do, undo = acts[seed % 3]
    system.begin()
    system.database.execute(do, database=DATABASE)
    yield from spoilt(system, lambda: system.database.execute(undo, database=DATABASE))


@fault(produces="network-failure", system="pipeline")
def forget_names(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Takes names from what the worker can resolve: the name is not known, or no name server answers."""
    if not system.worker.limited:
        raise UserError("the worker has no names of its own here", hint="it needs Linux mount namespaces")
    names = (RATES_HOST, ORDERS_HOST)
    system.begin()
    system.worker.know(*([] if strength > 0.6 else [names[seed // 2 % 2]]))
    system.worker.look_up(*(("files", "dns") if seed % 2 else ("files",)))

    def undo() -> None:
        system.worker.know(*names)
        system.worker.look_up("files", "dns")

    yield from spoilt(system, undo)


@fault(produces="network-failure", system="pipeline")
def lose_route(system: Pipeline, *, seed: int, strength: float) -> Iterator[None]:
    """Drops what the worker sends to the partner, or to the partner and the database: no connection comes about."""
    lost = [system.to_api] if strength < 0.5 else [system.to_api, system.to_database]
    system.begin()
    for way in lost:
        way.set("drop")

    def undo() -> None:
        for way in lost:
            way.set("pass")

    yield from spoilt(system, undo)
