"""What went wrong at an agent, as words that its controller can tell: what, where, and how to mend it."""

from __future__ import annotations

import traceback

from rackwright.core.errors import RackwrightError
from rackwright.load.distributed.messages import Trouble

_MEND = "look at the agent's log; if it is none of its host's faults, it is one of ours"


def trouble_of(error: Exception) -> Trouble:
    """An error as trouble; one that nobody expected is told with its kind and its place in the code."""
    if isinstance(error, RackwrightError):
        return Trouble(error.what, error.where, error.mend)
    if isinstance(error, OSError):
        return Trouble(
            f"{type(error).__name__}: {error}",
            str(error.filename or ""),
            "look at that host: its disk, its memory, its limits",
        )
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return Trouble(f"{type(error).__name__}: {error}", where, _MEND)
