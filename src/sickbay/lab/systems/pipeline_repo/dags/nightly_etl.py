"""Nightly load of the shop's orders into the warehouse, in euro, one partition a day."""

from datetime import datetime, timedelta

import shop
from airflow.sdk import Variable, dag, task

ALWAYS = {"owner": "data-platform", "retries": 1, "retry_delay": timedelta(seconds=2)}


@dag(schedule="0 3 * * *", start_date=datetime(2024, 1, 1), catchup=False, max_active_runs=1, default_args=ALWAYS)
def nightly_etl():
    """Load yesterday's orders, in euro."""

    @task(execution_timeout=timedelta(minutes=10))
    def extract_orders(logical_date=None, dag=None):
        day = shop.day_of(logical_date, dag.timezone)
        return shop.orders_of(day, shop.connection("orders_db"), Variable.get("staging"))

    @task(execution_timeout=timedelta(minutes=10))
    def extract_rates(logical_date=None, dag=None):
        day = shop.day_of(logical_date, dag.timezone)
        return shop.rates_of(day, shop.connection("rates_api"), Variable.get("staging"))

    @task
    def validate(orders, rates):
        shop.check_orders(orders, min_rows=int(Variable.get("min_rows")))
        shop.check_rates(rates)

    @task.external_python(python="{{ var.value.task_python }}", expect_airflow=False)
    def transform(orders, rates):
        import csv
        import json
        from pathlib import Path

        from jinja2 import Template
        from pydantic import BaseModel, field_validator

        class Order(BaseModel):
            order_id: int
            customer_id: int
            amount: float
            currency: str
            ordered_at: str

            @field_validator("currency")
            @classmethod
            def upper(cls, value):
                return value.upper()

        table = {row["currency"]: row["rate"] for row in json.loads(Path(rates).read_text())["rates"]}
        with Path(orders).open() as file:
            found = [Order(**row) for row in csv.DictReader(file)]
        done = Path(orders).with_name("orders_eur.csv")
        with done.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["order_id", "customer_id", "amount_eur", "currency", "ordered_at"])
            for one in found:
                euro = round(one.amount / table[one.currency], 2)
                out.writerow([one.order_id, one.customer_id, euro, one.currency, one.ordered_at])
        text = Template("{{ n }} orders of {{ currencies | join(', ') }}")
        print(text.render(n=len(found), currencies=sorted(table)))
        return str(done)

    @task(pool="warehouse")
    def load(done, logical_date=None, dag=None):
        return shop.write_partition(done, Variable.get("warehouse"), shop.day_of(logical_date, dag.timezone))

    @task
    def record(partition):
        shop.write_manifest(partition)

    orders, rates = extract_orders(), extract_rates()
    done = transform(orders, rates)
    validate(orders, rates) >> done
    record(load(done))


nightly_etl()
