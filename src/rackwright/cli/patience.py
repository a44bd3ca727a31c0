"""Asking again while the api or its database is away for a moment: what only watches need not end with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from rackwright.cli.exits import ServerProblem
from rackwright.core.errors import RackwrightError, StoreUnavailable

T = TypeVar("T")
_TRIES = 60
_PAUSE = 1.0
"""Seconds between tries."""
_AWAY = 503


def patiently(ask: Callable[[], T]) -> T:
    """Ask until there is an answer; gives up, with the last error, after a minute without one."""
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except RackwrightError as error:
            if not _passes(error):
                raise
        time.sleep(_PAUSE)
    return ask()


def _passes(error: RackwrightError) -> bool:
    return isinstance(error, StoreUnavailable) or (isinstance(error, ServerProblem) and error.status == _AWAY)
