"""Daily retraining of the fraud model on what the nightly load brought."""

from datetime import datetime, timedelta

import shop
from airflow.sdk import Variable, dag, task

ALWAYS = {"owner": "ml-team", "retries": 1, "retry_delay": timedelta(seconds=2)}


@dag(schedule="0 6 * * *", start_date=datetime(2024, 1, 1), catchup=False, max_active_runs=1, default_args=ALWAYS)
def retrain_fraud_model():
    """Retrain on the newest week."""

    @task
    def check_data(logical_date=None, dag=None):
        from pathlib import Path

        day = shop.day_of(logical_date, dag.timezone)
        if not (Path(Variable.get("warehouse")) / "orders" / f"date={day}" / "_SUCCESS").exists():
            raise FileNotFoundError(f"no training data of {day}")
        return day

    @task
    def train(day):
        import csv
        import statistics
        from pathlib import Path

        amounts = []
        for partition in sorted((Path(Variable.get("warehouse")) / "orders").glob("date=*"))[-7:]:
            with (partition / "part-0.csv").open() as file:
                amounts += [float(row["amount_eur"]) for row in csv.DictReader(file)]
        return {"day": day, "rows": len(amounts), "mean": statistics.fmean(amounts), "sd": statistics.stdev(amounts)}

    @task
    def register(model):
        import json
        from pathlib import Path

        place = Path(Variable.get("models")) / f"fraud-{model['day']}.json"
        place.write_text(json.dumps(model))
        print(f"registered {place}")

    register(train(check_data()))


retrain_fraud_model()
