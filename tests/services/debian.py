"""Programs that are no Python package, taken from Debian's packages: unpacked into the lab's cache, never installed."""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sickbay.lab.systems.environments import cache
from sickbay.lab.systems.processes import LabError

SOURCES = (Path("/etc/apt/sources.list.d"), Path("/etc/apt/sources.list"))


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
            unpack((package,), place)
    return place / "usr" / "bin" / name


def hindrance(name: str, package: str) -> str:
    """Return why the program cannot be had, or nothing."""
    try:
        program(name, package)
    except LabError as error:
        return str(error)
    return ""


def unpack(packages: Sequence[str], place: Path) -> None:
    """Fetch packages and unpack them into a directory, anew; LabError when that fails."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        _apt(Path(folder), "update")
        _apt(Path(folder), "download", *packages)
        for fetched in sorted(Path(folder).glob("*.deb")):
            _run(["dpkg-deb", "-x", str(fetched), "x"], Path(folder), fetched.name)
        shutil.rmtree(place, ignore_errors=True)
        (Path(folder) / "x").rename(place)


def source(package: str, place: Path) -> Path:
    """Fetch a source package into a directory and return the archive of its original source."""
    place.mkdir(parents=True)
    lists = place / "parts"
    lists.mkdir()
    for given in SOURCES:
        for file in [given] if given.is_file() else sorted(given.glob("*")):
            text = file.read_text(encoding="utf-8")
            asked = "\n".join(_of_sources(line) for line in text.splitlines())
            (lists / file.name).write_text(asked + "\n", encoding="utf-8")
    options = ["-o", f"Dir::Etc::SourceParts={lists}", "-o", "Dir::Etc::SourceList=/dev/null"]
    _apt(place, *options, "update")
    _apt(place, *options, "source", "--download-only", package)
    found = sorted(place.glob(f"{package}_*.orig.tar.*"))
    if not found:
        raise LabError(f"Debian's source package {package} brought no original source")
    return found[-1]


def _of_sources(line: str) -> str:
    """Return a line of apt's sources that asks for sources in place of packages."""
    if line.startswith("Types:"):
        return "Types: deb-src"
    return "deb-src" + line.removeprefix("deb") if line.startswith(("deb ", "deb\t")) else line


def _apt(folder: Path, *arguments: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise LabError("there is no apt to fetch Debian's packages with")
    # lists of its own: an ordinary user may fetch them too, and the machine's own stay as they are
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}",
               "-o", "APT::Sandbox::User=root", *arguments]  # fmt: skip
    _run(command, folder, " ".join(word for word in arguments if not word.startswith(("-", "Dir::"))))


def _run(command: list[str], folder: Path, doing: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"{command[0]} took more than five minutes for {doing}") from None
    if done.returncode:
        raise LabError(f"{command[0]} failed for {doing}: {done.stderr.strip()[-200:]}")
