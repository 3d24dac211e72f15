"""Steps of the shop's pipelines."""

import csv
import json
import shutil
from datetime import timedelta
from pathlib import Path

COLUMNS = ("order_id", "customer_id", "amount", "currency", "ordered_at")


class DataQualityError(ValueError):
    """The data of a day is not fit for the warehouse."""


def day_of(logical_date, timezone):
    """Return the day that a run loads: the one before it."""
    return (logical_date.astimezone(timezone) - timedelta(days=1)).date().isoformat()


def connection(name):
    """Return a connection that is kept in Airflow."""
    from airflow.sdk import BaseHook

    return BaseHook.get_connection(name)


def orders_of(day, conn, staging):
    """Fetch a day's orders from the shop's database."""
    import psycopg

    place = _folder(staging, day) / "orders.csv"
    address = {"host": conn.host, "port": conn.port, "dbname": conn.schema, "user": conn.login}
    print(f"orders of {day} from {conn.host}:{conn.port}/{conn.schema}")
    timeouts = {"connect_timeout": 4, "options": "-c statement_timeout=6000"}
    with psycopg.connect(**address, password=conn.password, **timeouts) as con:
        rows = con.execute(
            f"SELECT {', '.join(COLUMNS)} FROM orders WHERE ordered_at >= %s AND ordered_at < %s::date + 1", [day, day]
        ).fetchall()
    with place.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        out.writerows(rows)
    print(f"{len(rows)} orders of {day}")
    return str(place)


def rates_of(day, conn, staging):
    """Fetch a day's exchange rates from the partner."""
    import requests

    place = _folder(staging, day) / "rates.json"
    url = f"{conn.schema or 'http'}://{conn.host}:{conn.port}/v1/rates"
    print(f"rates of {day} from {url}")
    answer = requests.get(url, params={"date": day}, headers={"X-API-Key": conn.password or ""}, timeout=(3, 4))
    answer.raise_for_status()
    rates = {row["currency"]: float(row["rate"]) for row in answer.json()["rates"]}
    rows = [{"currency": name, "rate": rate} for name, rate in sorted(rates.items())]
    place.write_text(json.dumps({"date": day, "rates": rows}))
    print(f"{len(rates)} rates of {day}")
    return str(place)


def check_orders(path, min_rows):
    """Raise DataQualityError when a day's orders are not fit."""
    with Path(path).open() as file:
        rows = list(csv.DictReader(file))
    if len(rows) < min_rows:
        raise DataQualityError(f"{len(rows)} orders, expected at least {min_rows}")
    for name in COLUMNS:
        empty = sum(1 for row in rows if row[name] == "")
        if empty > 0.01 * len(rows):
            raise DataQualityError(f"{empty} of {len(rows)} orders have no {name} (at most 1 % allowed)")
    double = len(rows) - len({row["order_id"] for row in rows})
    if double:
        raise DataQualityError(f"{double} order ids occur twice")
    negative = sum(1 for row in rows if row["amount"] and float(row["amount"]) < 0)
    if negative:
        raise DataQualityError(f"{negative} orders have a negative amount")
    print(f"{len(rows)} orders are fit")


def check_rates(path):
    """Raise DataQualityError when a day's rates are not fit."""
    rates = json.loads(Path(path).read_text())["rates"]
    if len(rates) < 3:
        raise DataQualityError(f"{len(rates)} exchange rates, expected at least 3")
    for row in rates:
        if not 0 < row["rate"] < 1000:
            raise DataQualityError(f"exchange rate of {row['currency']} is {row['rate']}")


def write_partition(done, warehouse, day):
    """Put a day's orders into the warehouse; the base directory is a mounted volume and is never made here."""
    partition = Path(warehouse) / "orders" / f"date={day}"
    partition.mkdir(exist_ok=True)
    half = partition / "part-0.csv.tmp"
    shutil.copyfile(done, half)
    half.replace(partition / "part-0.csv")
    print(f"{partition / 'part-0.csv'}: {half.with_suffix('').stat().st_size} bytes")
    return str(partition)


def write_manifest(partition):
    """Say what a partition holds, for those who read it."""
    files = {file.name: file.stat().st_size for file in sorted(Path(partition).glob("*.csv"))}
    if not files:
        raise FileNotFoundError(f"{partition} holds no data")
    (Path(partition) / "_SUCCESS").write_text(json.dumps(files))


def _folder(staging, day):
    place = Path(staging) / day
    place.mkdir(parents=True, exist_ok=True)
    return place
