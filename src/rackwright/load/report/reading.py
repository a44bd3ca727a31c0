"""Runs as they lie on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.load.result import RunResult

WANTED = "name a run's folder, or a file made by `rackwright load export --format counts`"


def read_run(path: Path) -> RunResult:
    """The run in a file of the format ``counts``. Raises NotFound and InvalidInput."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunResult)
    except FileNotFoundError as error:
        raise NotFound("there is no such run", where=str(path), mend=WANTED) from error
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise InvalidInput(f"this is no run: {error}", where=str(path), mend=WANTED) from error
