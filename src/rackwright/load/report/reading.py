"""Runs as they lie on disk: folders that a run writes, and files of exported counts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.load.result import RunResult
from rackwright.core.load.track import Recording, recording
from rackwright.load.run_folder import find

WANTED = "name a run's folder, or a file made by `rackwright load export --format counts`"


def read_recording(name: str, runs: Path) -> Recording:
    """A run by its id in the folder of runs, the path of its own folder, or a file of the format ``counts``; the newest
    of the folder if no name is given.

    A run that still goes on is read as it stands. Raises NotFound and InvalidInput.
    """
    path = Path(name)
    if path.is_file():
        return recording(read_run(path))
    folder = find(runs, name)
    return recording(folder.read(seconds=False), folder.seconds)


def read_run(path: Path) -> RunResult:
    """What one file says of a run. Raises NotFound and InvalidInput."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunResult)
    except FileNotFoundError as error:
        raise NotFound("there is no such run", where=str(path), mend=WANTED) from error
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise InvalidInput(f"this is no run: {error}", where=str(path), mend=WANTED) from error
