"""What a baseline keeps of each source: the figures that the probes of latency compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sickbay.probes import (
    latency_disk,
    latency_endpoint,
    latency_metrics,
    latency_network,
    latency_process,
    latency_stacks,
)

PARTS: Mapping[str, tuple[str, Callable[[Any], dict[str, float]]]] = {
    "serving": ("serving", latency_endpoint.observe),
    "process": ("process", latency_process.observe),
    "prometheus": ("metrics", latency_metrics.observe),
    "network": ("network", latency_network.observe),
    "disk": ("disk", latency_disk.observe),
    "profile": ("profile", latency_stacks.observe),
}
"""Source → the part of the baseline it gives, and what observes it."""
