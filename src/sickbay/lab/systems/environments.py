"""Environments of the lab's servers: each with its own packages, made on first use, kept between runs.

They lie in ``SICKBAY_CACHE``, else in the user's cache directory, one per list of packages: a changed list is a new
environment. Made with uv where there is one, else with venv and pip. They never share sickbay's own environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

from sickbay.lab.systems.processes import LabError


def cache() -> Path:
    """Return the directory of all environments."""
    given = os.environ.get("SICKBAY_CACHE")
    if given:
        return Path(given)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "sickbay"


def environment(name: str) -> Path:
    """Return the directory of the environment ``name``, made if it is not there; LabError when it cannot be made."""
    listed = resources.files("sickbay.lab.systems") / "requirements" / f"{name}.txt"
    text = listed.read_text(encoding="utf-8")
    mark = hashlib.sha256(f"{text}{sys.version_info[:2]}".encode()).hexdigest()[:12]
    place = cache() / f"{name}-{mark}"
    if (place / "ready").exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second waits, and finds it made
        if not (place / "ready").exists():
            _make(name, place, text)
    return place


def _make(name: str, place: Path, text: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    listed = place.parent / f"{place.name}.txt"
    listed.write_text(text, encoding="utf-8")
    python, uv = place / "bin" / "python", shutil.which("uv")
    steps: list[list[str]]
    if uv:
        install = [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python)]
        steps = [[uv, "venv", "-q", "--python", sys.executable, str(place)], [*install, "-r", str(listed)]]
    else:
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        steps = [[sys.executable, "-m", "venv", str(place)], [*install, "-r", str(listed)]]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(
                f"the environment {name} of the lab cannot be made: {done.stderr.strip()[-400:]}",
                hint="it needs the network once; the packages stand in sickbay/lab/systems/requirements",
            )
    (place / "ready").touch()
