"""Grafana dashboard and Prometheus alert rules for what ``/metrics`` exposes, made from the same list of metrics."""

from __future__ import annotations

from typing import Any

from sickbay.monitor.metrics import METRICS

PANELS: tuple[tuple[str, str, str, str], ...] = (
    ("Alarms", "sickbay_alarm > 0", "{{monitor}} {{series}}", "short"),
    ("Rows per window", "sickbay_window_rows", "{{monitor}}", "short"),
    ("Drift per column (Jensen–Shannon distance)", "sickbay_column_js_distance", "{{monitor}} {{column}}", "short"),
    ("Drift per column (PSI)", "sickbay_column_psi", "{{monitor}} {{column}}", "short"),
    ("Rise of missing values", "sickbay_column_missing_rise", "{{monitor}} {{column}}", "percentunit"),
    ("Loss: realised and estimated", "sickbay_loss", "{{monitor}} {{kind}}", "short"),
    ("Share of rows with labels", "sickbay_labelled_share", "{{monitor}}", "percentunit"),
    ("Findings of probes on a schedule", "sickbay_finding", "{{monitor}} {{finding}}", "short"),
    ("Days left", "sickbay_days_left < 60", "{{monitor}} {{finding}}", "d"),
    ("Behind", "sickbay_behind_seconds", "{{monitor}}", "s"),
    ("Source errors", "increase(sickbay_source_errors_total[1h])", "{{monitor}}", "short"),
)
"""Title, expression, legend and unit of every panel."""


def grafana(title: str = "sickbay") -> dict[str, Any]:
    """Return a dashboard to be imported into Grafana; it asks for the Prometheus data source."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = []
    for i, (name, expression, legend, unit) in enumerate(PANELS):
        panels.append(
            {
                "id": i + 1,
                "type": "timeseries",
                "title": name,
                "datasource": source,
                "gridPos": {"h": 8, "w": 12, "x": 12 * (i % 2), "y": 8 * (i // 2)},
                "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
                "targets": [{"refId": "A", "datasource": source, "expr": expression, "legendFormat": legend}],
            }
        )
    choice = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "title": title,
        "uid": "sickbay-monitors",
        "schemaVersion": 39,
        "tags": ["sickbay"],
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [choice]},
        "panels": panels,
        "description": "; ".join(f"{metric.name}: {metric.says}" for metric in METRICS),
    }


def rules() -> dict[str, Any]:
    """Return Prometheus alert rules: an alarm of a monitor, a watch that falls behind, a source that cannot be read."""
    return {"groups": [{"name": "sickbay", "rules": [
        _rule("SickbayAlarm", "max by (monitor, series) (sickbay_alarm) > 0", "0m", "page",
              "{{ $labels.monitor }}: {{ $labels.series }} has changed",
              "Run `sickbay investigate`. The monitor's own rule keeps its budget of false alarms."),
        _rule("SickbayBehind", "sickbay_behind_seconds > 7200", "10m", "ticket",
              "{{ $labels.monitor }} is {{ $value | humanizeDuration }} behind",
              "The watch runs, and does not get on: its source may be slow or away."),
        _rule("SickbaySourceErrors", "increase(sickbay_source_errors_total[30m]) > 3", "0m", "ticket",
              "{{ $labels.monitor }} cannot read its source", "`sickbay doctor` says why."),
        _rule("SickbayAway", "absent(sickbay_window_end_timestamp_seconds)", "15m", "ticket",
              "No monitor has reported", "Is `sickbay watch` running, and does Prometheus reach its port?"),
    ]}]}  # fmt: skip


def rules_yaml() -> str:
    """Return the rules as the YAML file Prometheus loads (JSON is YAML, but people have to read it)."""
    lines = ["groups:"]
    for group in rules()["groups"]:
        lines += [f"- name: {group['name']}", "  rules:"]
        for rule in group["rules"]:
            lines += [f"  - alert: {rule['alert']}", f"    expr: {_quoted(rule['expr'])}", f"    for: {rule['for']}"]
            for part in ("labels", "annotations"):
                lines.append(f"    {part}:")
                lines += [f"      {key}: {_quoted(value)}" for key, value in rule[part].items()]
    return "\n".join(lines) + "\n"


def _rule(alert: str, expression: str, hold: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": alert, "expr": expression, "for": hold, "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }  # fmt: skip


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
