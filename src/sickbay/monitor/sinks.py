"""Where logged predictions go: anything with ``write(rows)``; here, files partitioned by day."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

Row = Mapping[str, Any]


class Sink(Protocol):
    """Takes batches of logged predictions, one after the other; an error it raises is counted and tried again."""

    def write(self, rows: Sequence[Row]) -> None:
        """Keep the rows, all or none of them."""
        ...


class JsonLines:
    """A JSON Lines file per day below ``directory``: ``date=2026-01-05/PROCESS.jsonl``; lines are written whole."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"

    def write(self, rows: Sequence[Row]) -> None:
        """Append the rows with one call to the file system per day."""
        for day, lines in _by_day(rows).items():
            folder = self.directory / f"date={day}"
            folder.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(line, default=_plain) + "\n" for line in lines)
            with (folder / self.name).open("a", encoding="utf-8") as file:
                file.write(text)


class Parquet:
    """Parquet files below ``directory``, a new one per batch and day; a reader never sees half a file."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._lock = threading.Lock()

    def write(self, rows: Sequence[Row]) -> None:
        """Write each day's rows to a hidden file and rename it."""
        import duckdb

        for day, lines in _by_day(rows).items():
            folder = self.directory / f"date={day}"
            folder.mkdir(parents=True, exist_ok=True)
            name = uuid.uuid4().hex
            spool, hidden = folder / f".{name}.jsonl", folder / f".{name}.tmp"
            try:
                spool.write_text("".join(json.dumps(line, default=_plain) + "\n" for line in lines), encoding="utf-8")
                with self._lock, duckdb.connect() as con:
                    con.execute("SET TimeZone = 'UTC'")
                    read = con.read_json(str(spool), format="newline_delimited")
                    read.write_parquet(str(hidden))
                hidden.replace(folder / f"{name}.parquet")
            finally:
                spool.unlink(missing_ok=True)
                hidden.unlink(missing_ok=True)


def _by_day(rows: Sequence[Row]) -> dict[str, list[Row]]:
    days: dict[str, list[Row]] = {}
    for row in rows:
        moment = row.get("timestamp")
        day = str(moment)[:10] if moment else datetime.now(UTC).strftime("%Y-%m-%d")
        days.setdefault(day, []).append(row)
    return days


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
