"""Kinds of log lines, mined with Drain (He et al. 2017, ICWS): which of the lines now are of no kind seen before."""

from __future__ import annotations

import logging
from collections.abc import Sequence

MOST = 2000


def news(before: Sequence[str], now: Sequence[str], most: int = 6) -> list[str]:
    """Return the last lines of ``now`` that fit no template of ``before``, one a template, oldest first.

    Empty without ``before``, and where the library drain3 is not installed.
    """
    try:
        from drain3 import TemplateMiner
        from drain3.template_miner_config import TemplateMinerConfig
    except ImportError:
        return []
    if not before:
        return []
    logging.getLogger("drain3").setLevel(logging.WARNING)
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    miner = TemplateMiner(config=config)
    for line in before[-MOST:]:
        miner.add_log_message(line)
    found: dict[int, str] = {}
    for line in now[-MOST:]:
        if not line.strip() or line.startswith("::") or miner.match(line) is not None:
            continue
        made = miner.add_log_message(line)
        found[int(made["cluster_id"])] = line
    return list(found.values())[-most:]
