"""The lab's scorer on somebody else's runtime: its code, its model, its clients, and what the product says of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sickbay.lab.systems.environments import environment
from sickbay.lab.systems.pods import PROGRAMS, USUAL
from sickbay.terms.diagnosis import Diagnosis

IMAGE_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}
IMAGE_FOLDERS = ("usr", "tmp")
"""All that an image needs: places to mount the host's at."""
SETTINGS = {
    "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
}  # fmt: skip


def python() -> Path:
    """Return the Python that has the scorer's packages."""
    return environment("serving") / "bin" / "python"


def prepare(home: Path) -> Path:
    """Train a model and write what the clients do, usually; return the model."""
    (home / "traffic").mkdir(parents=True, exist_ok=True)
    (home / "traffic" / "clients.json").write_text(json.dumps(dict(USUAL)), encoding="utf-8")
    model = home / "model.joblib"
    train = [python(), PROGRAMS / "scorer" / "train.py", model, "30", "6"]
    subprocess.run([str(part) for part in train], check=True, capture_output=True)
    return model


def code(home: Path, version: str, *changes: str) -> Path:
    """Put a version's code where containers mount it from; ``new:old`` replaces a file."""
    place = home / "code" / version
    if not place.exists():
        shutil.copytree(PROGRAMS / "scorer", place, ignore=shutil.ignore_patterns("__pycache__"))
        for change in changes:
            new, _, old = change.partition(":")
            shutil.copy(PROGRAMS / "scorer_changes" / f"{new}.py", place / f"{old}.py")
        (place / "trail.py").write_text("ENTRY = 3500000\n", encoding="utf-8")
    return place


def mounts(home: Path) -> list[str]:
    """Return the host's directories that a container needs, at the same place in it."""
    seen = [str(python().parent.parent), str(home), "/usr", sys.base_prefix]
    return list(dict.fromkeys(place for place in seen if place == "/usr" or not place.startswith("/usr/")))


def clients(home: Path) -> list[str]:
    """Return the command of the clients and their gateway."""
    return [str(python()), str(PROGRAMS / "scorer" / "gateway.py"), str(home / "traffic"), "1"]


def told(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what a test wants to know of a diagnosis."""
    return {
        "ranked": [(cause.id, round(cause.probability, 3)) for cause in diagnosis.causes[:3]],
        "none": round(diagnosis.none_of_these, 3),
        "on": {f.id: f.says for f in diagnosis.findings if f.on and f.log_ratio > 2},
        "unknown": {f.id: f.reason for f in diagnosis.findings if f.status == "unknown"},
    }
