"""What probing costs the service that is probed: ``python benchmarks/probing.py [PAIRS] [SECONDS]``.

The lab's model server is asked by four clients as fast as it answers. Windows with and without an investigation take
turns, in an order drawn by chance, and are compared in pairs: requests answered a second, and processor time of the
server per request (which other work on the machine hardly moves). ``gentle`` takes no stacks; ``balanced`` is shown
without and with them. One investigation runs in each window, as after an alert, in a process of its own. Where the
machine has two cores and lets a process choose, the server has the last one to itself, and clients come before sickbay
on the others: what is measured is what probing does to the server, not that a busy machine has one more process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from sickbay.lab import live

CLIENTS = 4
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
APART = len(CORES) > 1


class Clients:
    """Clients that ask as fast as they are answered."""

    def __init__(self, url, body):
        self.answered, self.ended = 0, threading.Event()
        self._lock, self._url, self._body = threading.Lock(), url, body
        for _ in range(CLIENTS):
            threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self):
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self.ended.is_set():
                client.post(self._url, content=self._body, headers={"Content-Type": "application/json"})
                with self._lock:
                    self.answered += 1


def window(lab, clients, seconds, mode, site):
    """Return answers a second, and the server's processor time per answer in ms."""
    worker = lab.system.server.worker()
    if APART:
        for thread in worker.threads():
            os.sched_setaffinity(thread.id, CORES[-1:])
    began, count, cpu = time.monotonic(), clients.answered, sum(worker.cpu_times()[:2])
    looking = None
    if mode:
        command = [sys.executable, "-m", "sickbay", "investigate", "serving-latency", "--site", site, "--mode", mode]
        later = ["nice", "-n", "10"] if APART else []
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        looking = subprocess.Popen([*later, *command, "--json"], **quiet)
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    span, answers = time.monotonic() - began, clients.answered - count
    used = sum(worker.cpu_times()[:2]) - cpu
    if looking is not None:
        looking.wait()
    return answers / span, used / max(1, answers) * 1000


def main(pairs, seconds):
    """Print medians of the ratios with their quartiles."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        lab = live.start("serving", Path(folder) / "system")
        try:
            lab.system.load.set(rate=0.1)
            plain = Path(folder) / "system" / "without.toml"
            text = lab.site_file.read_text()
            plain.write_text(text.replace("allow = true", "allow = false"))
            if APART:
                os.sched_setaffinity(0, CORES[:-1])
            clients = Clients(f"{lab.system.server.url}/predict", (lab.system.directory / "request.json").read_bytes())
            time.sleep(2)
            for name, mode, site in (
                ("gentle", "gentle", plain), ("balanced", "balanced", plain),
                ("balanced, with stacks", "balanced", lab.site_file), ("nothing at all", "", plain),
            ):  # fmt: skip
                speeds, costs = [], []
                for _ in range(pairs):
                    both = {}
                    for probed in rng.permutation([False, True]):
                        both[bool(probed)] = window(lab, clients, seconds, mode if probed else "", str(site))
                    speeds.append(both[True][0] / both[False][0])
                    costs.append(both[True][1] / both[False][1])
                told = ", ".join(
                    f"{what} {statistics.median(values):.3f} ({np.quantile(values, 0.25):.3f} to "
                    f"{np.quantile(values, 0.75):.3f})" for what, values in (("answers", speeds), ("CPU each", costs))
                )  # fmt: skip
                print(f"{name}: {told}, of {pairs} pairs of {seconds:.0f} s", flush=True)
            clients.ended.set()
        finally:
            lab.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12, float(sys.argv[2]) if len(sys.argv) > 2 else 30.0)
