"""One attempt as an action sees it, and the ways in which it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rackwright.agent.door import Door


class Failed(Exception):
    """It cannot be done; the text says what, where, and how to mend it."""


class Retry(Exception):
    """It may be done later."""


class Cancelled(Exception):
    """The rack has taken the attempt back."""


class Job:
    """What the rack asked for. ``folder`` is the attempt's own; ``say`` adds to its log; ``timeout`` is in seconds.

    ``afterwards`` is what is to be done once the rack has taken the result.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        folder: str,
        say: Callable[[str], None],
        door: Door,
        files: dict[str, str] | None = None,
        timeout: float = 600.0,
    ) -> None:
        self.parameters, self.folder, self.say, self.door = parameters, folder, say, door
        self.files, self.timeout = files or {}, timeout
        self.cancelled = threading.Event()
        self.afterwards: Callable[[], None] | None = None
        self.began = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the attempt's time is over."""
        return self.began + self.timeout - time.monotonic()

    def check(self) -> None:
        """Go on? Raises Cancelled when the attempt was taken back, Failed when its time is over."""
        if self.cancelled.is_set():
            raise Cancelled
        if self.left <= 0:
            raise Failed(f"it took longer than its timeout of {self.timeout:g} s (raise the task's `timeout`)")

    def seconds(self, name: str) -> float:
        """The parameter as a number, 0 when it is not given; raises Failed when it is none."""
        value = self.parameters.get(name) or 0
        try:
            return float(value)
        except (TypeError, ValueError):
            raise Failed(f"{name} is {value!r} (give a number)") from None

    def text(self, name: str, default: str = "") -> str:
        """The parameter as a text, ``default`` when it is not given."""
        value = self.parameters.get(name)
        return default if value is None else str(value)
