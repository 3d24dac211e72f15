"""Programs that are no Python package, taken from Debian's packages: unpacked into the lab's cache, never installed."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from sickbay.lab.systems.environments import cache
from sickbay.lab.systems.processes import LabError


def program(name: str, package: str) -> Path:
    """Return a program: the PATH's, else the one of the package, which is fetched once; LabError where none is had."""
    if found := shutil.which(name):
        return Path(found)
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise LabError(f"{name} is not on the PATH, and Debian's package {package} is taken on Linux on x86_64 alone")
    place = cache() / f"debian-{package}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"debian-{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "usr" / "bin" / name).exists():
            _fetch(package, place)
    return place / "usr" / "bin" / name


def hindrance(name: str, package: str) -> str:
    """Return why the program cannot be had, or nothing."""
    try:
        program(name, package)
    except LabError as error:
        return str(error)
    return ""


def _fetch(package: str, place: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise LabError(f"there is no apt to fetch Debian's package {package} with")
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        # lists of its own: an ordinary user may fetch them too, and the machine's own stay as they are
        (Path(folder) / "lists" / "partial").mkdir(parents=True)
        apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}",
               "-o", "APT::Sandbox::User=root"]  # fmt: skip
        for command in ([*apt, "update"], [*apt, "download", package], ["dpkg-deb", "-x", f"{package}.deb", "x"]):
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            except subprocess.TimeoutExpired:
                raise LabError(f"{command[0]} took more than five minutes for Debian's package {package}") from None
            if done.returncode:
                raise LabError(f"{command[0]} failed for Debian's package {package}: {done.stderr.strip()[-200:]}")
            for fetched in Path(folder).glob(f"{package}_*.deb"):
                fetched.rename(Path(folder) / f"{package}.deb")
        shutil.rmtree(place, ignore_errors=True)
        (Path(folder) / "x").rename(place)
