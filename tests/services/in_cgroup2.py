"""Runs within a kernel of its own (see ``uml.py``): bounds processes by groups of version 2, reads what became of them.

Prints one line of JSON. What is read comes from the product's own reader; the groups are made by the lab.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from sickbay.config import load_site
from sickbay.lab.systems import bounds, limits
from sickbay.sources.cgroups import Cgroups, Group
from sickbay.sources.context import Context
from tests.services.uml import MARK

MIB = 2**20
EAT = "import time\nheld = []\nwhile True:\n held.append(bytearray(4_000_000))\n time.sleep(0.02)"
HOLD = "import time\nheld = bytearray(30_000_000)\nprint('held', flush=True)\ntime.sleep(600)"
SPIN = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass"


def start(bound: bounds.Bound, code: str) -> subprocess.Popen[str]:
    """Start a Python program within a bound."""
    command = [str(part) for part in bound.entering([sys.executable, "-S", "-c", code])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Do it and print what the reader said."""
    from datetime import UTC, datetime

    reader = Cgroups.connect(Context(load_site({"source": {"cgroups": {}}}, {}, Path()), datetime.now(UTC)))
    made = bounds.available()
    said: dict[str, object] = {"version": reader.version, "kind": made.kind}

    killed = made.make("a1b2c3d4-0000", "eater0123456789", 60 * MIB)
    eater = start(killed, EAT)
    group = reader.find("eater0123456789")["eater0123456789"]
    said["exit"] = eater.wait(timeout=120)
    memory = reader.memory(group)
    said |= {"kills": memory.kills, "at_limit": memory.at_limit, "limit": memory.limit, "peak": memory.peak}
    said["lab_kills"] = killed.kills()

    held = made.make("a1b2c3d4-0000", "holder0123456789", 200 * MIB)
    holder = start(held, HOLD)
    assert holder.stdout is not None
    holder.stdout.readline()
    memory = reader.memory(reader.find("holder0123456789")["holder0123456789"])
    said["held"] = {
        "anonymous": memory.anonymous, "current": memory.current, "kills": memory.kills, "peak": memory.peak,
        "working_set": memory.working_set, "by_lab": held.working_set([]),
    }  # fmt: skip
    holder.kill()
    holder.wait()

    slow = limits.cpu("spin", 0.2)
    spinner = subprocess.Popen([sys.executable, "-S", "-c", SPIN])
    slow.add(spinner.pid)
    began = time.monotonic()
    spinner.wait(timeout=120)
    cpu = reader.cpu(Group("spin", 2, {"cpu": slow.place}))
    said["cpu"] = {
        "quota": cpu.quota, "periods": cpu.periods, "throttled": cpu.throttled, "seconds": cpu.seconds,
        "throttled_seconds": cpu.throttled_seconds, "took": time.monotonic() - began,
    }  # fmt: skip
    slow.remove()
    made.close()
    said["left"] = [place.name for place in limits.ROOT.iterdir() if place.is_dir()]
    print(MARK + json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
