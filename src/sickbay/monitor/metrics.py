"""What ``sickbay watch`` exposes at ``/metrics``; dashboards and alert rules are made of the same list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sickbay.errors import UserError
from sickbay.monitor.progress import Progress
from sickbay.monitor.store import Store


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its full name, what it says, its labels."""

    name: str
    says: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: tuple[str, ...] = ("monitor",)


METRICS = (
    Metric("sickbay_window_rows", "Rows of the newest window"),
    Metric("sickbay_window_end_timestamp_seconds", "End of the newest window, seconds since 1970"),
    Metric("sickbay_behind_seconds", "How far the newest window lies behind what is due"),
    Metric("sickbay_column_js_distance", "Jensen-Shannon distance from the reference, 0 to 1, less what sampling gives",
           labels=("monitor", "column")),
    Metric("sickbay_column_psi", "Population stability index against the reference, less what sampling gives",
           labels=("monitor", "column")),
    Metric("sickbay_column_missing_rise", "Rise of the share of missing values over the reference",
           labels=("monitor", "column")),
    Metric("sickbay_loss", "Mean loss: realised from labels, or estimated from scores", labels=("monitor", "kind")),
    Metric("sickbay_estimate_trusted", "1 while nothing speaks against the estimated loss, else 0"),
    Metric("sickbay_labelled_share", "Share of the rows whose labels have come"),
    Metric("sickbay_finding", "1 while a probe on a schedule finds it, 0 while not, NaN while unknown",
           labels=("monitor", "finding")),
    Metric("sickbay_statistic", "What a probe on a schedule measured, in the finding's own unit",
           labels=("monitor", "finding")),
    Metric("sickbay_days_left", "Days until the limit at the present pace; +Inf while none is in sight",
           labels=("monitor", "finding")),
    Metric("sickbay_alarm", "1 while an alarm is raised", labels=("monitor", "series")),
    Metric("sickbay_alarms_total", "Alarms raised", "counter", ("monitor", "series")),
    Metric("sickbay_windows_total", "Panes of time profiled", "counter"),
    Metric("sickbay_source_errors_total", "Turns in which the source could not be read", "counter"),
)  # fmt: skip
"""Every metric there is."""


class Metrics:
    """The figures of all monitors, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge

        self.registry = CollectorRegistry()
        made = {"gauge": Gauge, "counter": Counter}
        self._metrics: Mapping[str, Any] = {
            metric.name: made[metric.kind](
                metric.name.removesuffix("_total"), metric.says, metric.labels, registry=self.registry
            )
            for metric in METRICS
        }

    def take(self, progress: Progress, store: Store) -> None:
        """Take in what one turn did for one monitor."""
        name = progress.monitor
        self._metrics["sickbay_windows_total"].labels(name).inc(progress.panes)
        self._metrics["sickbay_source_errors_total"].labels(name).inc(1 if progress.error else 0)
        self._set("sickbay_behind_seconds", progress.behind_seconds, name)
        if progress.last_end is not None:
            self._set("sickbay_window_end_timestamp_seconds", progress.last_end, name)
        if progress.look is not None:
            self._set("sickbay_window_rows", progress.look.rows, name)
            for drift in progress.look.drifts:
                self._set("sickbay_column_js_distance", drift.js, name, drift.name)
                self._set("sickbay_column_psi", drift.psi, name, drift.name)
                self._set("sickbay_column_missing_rise", drift.null_rise, name, drift.name)
        if progress.performance is not None:
            self._set("sickbay_loss", progress.performance.mean_loss, name, "realised")
            rows = progress.performance.rows
            self._set("sickbay_labelled_share", progress.performance.labelled / rows if rows else math.nan, name)
        if progress.estimated is not None:
            self._set("sickbay_loss", progress.estimated.loss, name, "estimated")
            self._set("sickbay_estimate_trusted", 0.0 if progress.doubt else 1.0, name)
        for reading in progress.readings:
            known = reading.status == "measured"
            self._set("sickbay_finding", float(reading.on) if known else math.nan, name, reading.finding)
            if reading.statistic is not None:
                self._set("sickbay_statistic", reading.statistic, name, reading.finding)
        for finding, left in progress.days_left.items():
            self._set("sickbay_days_left", left, name, finding)
        for series, (raised, _, _) in store.alarms(name).items():
            self._set("sickbay_alarm", float(raised), name, series)
        for event in progress.events:
            if event.what == "raised":
                self._metrics["sickbay_alarms_total"].labels(name, event.series).inc()

    def serve(self, port: int, address: str = "127.0.0.1") -> int:
        """Serve ``/metrics`` from a thread; return the port (0 asks for a free one). UserError when it is taken."""
        from prometheus_client import start_http_server

        try:
            server, _ = start_http_server(port, addr=address, registry=self.registry)
        except OSError as error:
            raise UserError(f"port {port} cannot be served: {error.strerror}", hint="name another --port") from None
        return int(server.server_port)

    def text(self) -> str:
        """Return the page as Prometheus reads it."""
        from prometheus_client import generate_latest

        return str(generate_latest(self.registry).decode())

    def _set(self, metric: str, value: float, *labels: str) -> None:
        self._metrics[metric].labels(*labels).set(value)
