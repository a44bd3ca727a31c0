"""Where images are put together: each result once, however many builds ask for it, and nothing left of a build that was
killed."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rackwright.core.errors import Permanent


def made(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` of the cache. Where it is not there ``make`` works in an empty folder and leaves it as
    ``made``; builds of the same name wait for one another. What a killed one has left is cleared away first."""
    result = cache / name
    with alone(cache / f"{name}.lock"):
        if not result.is_dir():
            work = cache / f"{name}.work"
            _clear(work)
            work.mkdir()
            try:
                make(work)
                (work / "made").rename(result)
            finally:
                _clear(work)
    return result


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Nobody else is in here who names the same file; its folder is made. The kernel lets it go with its process."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear(work: Path) -> None:
    """Remove a folder; never through something that is mounted in it. Raises Permanent."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if within := [mount for mount in mounts if mount.startswith(f"{work.resolve()}/")]:
        raise Permanent(f"something is mounted at {within[0]}", where=str(work), mend=f"umount {within[0]}")
    shutil.rmtree(work, ignore_errors=True)
