"""Debian packages by apt's own client: which versions there are, fetched once, checked, unpacked without installing."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rackwright.core.errors import InvalidInput, Permanent, Retryable
from rackwright.drivers.image import workshop


@dataclass(frozen=True)
class Package:
    """One package as apt would fetch it now."""

    name: str
    file: str
    sha256: str

    @property
    def version(self) -> str:
        """Its version, as Debian writes it."""
        return urllib.parse.unquote(self.file.split("_")[1])


def find(names: Sequence[str]) -> list[Package]:
    """These packages in the versions that apt would install. Raises Permanent for one that it does not know."""
    with tempfile.TemporaryDirectory() as empty:
        told = run(["apt-get", "download", "--print-uris", *names], folder=Path(empty))
    found = [shlex.split(line) for line in told.splitlines() if line.startswith("'")]
    packages = [Package(file.split("_")[0], file, digest.removeprefix("SHA256:")) for _, file, _, digest in found]
    missing = set(names) - {package.name for package in packages}
    if missing:
        raise Permanent(f"apt gave no {', '.join(sorted(missing))}", mend="run `apt-get update`")
    return sorted(packages, key=lambda package: package.name)


def known(names: Sequence[str]) -> list[str]:
    """Those of the names that apt has a package for."""
    told = run(["apt-cache", "madison", *names]) if names else ""
    return sorted({line.split("|")[0].strip() for line in told.splitlines()})


def meant_by(name: str, pattern: str) -> str:
    """The package that a meta package such as linux-image-amd64 stands for: the dependency that fits ``pattern``."""
    told = run(["apt-cache", "depends", "--important", name])
    for line in told.splitlines():
        kind, _, other = line.strip().partition(": ")
        if kind == "Depends" and re.fullmatch(pattern, other):
            return other
    raise Permanent(f"{name} does not depend on any {pattern}", where="apt", mend="run `apt-get update`")


def fetch(packages: Sequence[Package], cache: Path) -> list[Path]:
    """Have these packages in ``cache``; what is there with the right SHA-256 is not fetched again. Gives the files.
    Builds that share the cache fetch one after the other. Raises Retryable when the network or the archive is at
    fault."""
    with workshop.alone(cache / "fetching"):
        missing = [package for package in packages if _digest(cache / package.file) != package.sha256]
        if missing:
            words = [f"{package.name}={package.version}" for package in missing]
            run(["apt-get", "-o", "APT::Sandbox::User=root", "download", *words], folder=cache)
    for package in packages:
        if _digest(cache / package.file) != package.sha256:
            raise Retryable(f"{package.file} is not what apt's index says", where=str(cache), mend="run it again")
    return [cache / package.file for package in packages]


def unpack(files: Sequence[Path], folder: Path) -> None:
    """Unpack packages below ``folder``; none of their scripts are run."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        run(["dpkg-deb", "--extract", str(file), str(folder)])


def key(packages: Sequence[Package], *more: str) -> str:
    """What names everything that is made of exactly these packages and texts."""
    said = "\n".join([*(f"{package.file} {package.sha256}" for package in packages), *more])
    return hashlib.sha256(said.encode()).hexdigest()[:20]


def run(words: Sequence[str], folder: Path | None = None, more: Mapping[str, str] | None = None) -> str:
    """Run a program to its end, with ``more`` in its environment; gives what it printed. Raises Permanent with its own
    words."""
    return carried_out(words, folder, more).stdout.decode(errors="replace")


def carried_out(
    words: Sequence[str], folder: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """As ``run``; gives what it printed as result and as messages."""
    program = shutil.which(words[0], path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        raise InvalidInput(f"there is no program {words[0]}", mend="install it; images are built on Debian")
    done = subprocess.run(
        [program, *words[1:]], cwd=folder, env={**os.environ, **(more or {})}, capture_output=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-2000:]
        raise Permanent(f"{words[0]} ended with exit code {done.returncode}: {said}", where=" ".join(words[:4]))
    return done


def _digest(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
