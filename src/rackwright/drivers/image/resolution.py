"""Of which packages a system will consist, with all that they pull in: what the archive says, kept for an hour."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from rackwright.core.errors import Permanent, RackwrightError, Retryable

FRESH = 3600.0
"""Seconds for which an answer of the archive is taken for true."""
_INSTALLED = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ", re.MULTILINE)

Packages = dict[str, str]
"""Versions by name."""


def resolved(ask: Callable[[], str], kept: Path, tell: Callable[[str], None]) -> Packages:
    """The packages that ``ask`` says would be installed, in the words of ``apt-get --simulate``. They are ``kept`` in a
    file: it is taken while it is fresh, and, which is told, when the archive cannot be asked. Raises what ``ask``
    raises where nothing was kept, Permanent where it names no package."""
    age = time.time() - kept.stat().st_mtime if kept.exists() else None
    if age is not None and 0 <= age < FRESH:
        return _read(kept)
    try:
        found = dict(_INSTALLED.findall(ask()))
        if not found:
            raise Permanent("apt said of no package that it would be installed", where="the recipe of the image")
    except RackwrightError as error:
        if age is None:
            raise
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.stat().st_mtime))
        tell(f"the archive cannot be asked, so these are the packages of {when} ({error})")
        return _read(kept)
    kept.write_text("".join(f"{name}={version}\n" for name, version in sorted(found.items())))
    return found


def check(system: Path, wanted: Packages, kept: Path) -> None:
    """Raise Retryable where a system has a package that was not resolved so: the archive has changed since. So the name
    of an image never lies about what is in it. What was ``kept`` is forgotten then. A simulation may name a few
    packages more than are installed: those that others provide."""
    status = (system / "var/lib/dpkg/status").read_text()
    there = dict(re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", status, re.MULTILINE | re.DOTALL))
    if others := sorted(name for name, version in there.items() if wanted.get(name) != version):
        kept.unlink(missing_ok=True)
        raise Retryable(f"the archive has changed meanwhile: {', '.join(others[:5])}", mend="run it again")


def _read(kept: Path) -> Packages:
    pairs = (line.partition("=") for line in kept.read_text().splitlines())
    return {name: version for name, _, version in pairs}
