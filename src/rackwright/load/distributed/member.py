"""An agent as the controller sees it."""

from __future__ import annotations

import time

from rackwright.load.distributed.clock import Clock


class Member:
    """One agent that was let in. ``session`` is known to it and the controller alone."""

    def __init__(self, identity: bytes, session: str, name: str, host: str) -> None:
        self.identity = identity
        self.session = session
        self.name = name
        self.host = host
        self.clock = Clock()
        self.heard = time.monotonic()
        """When its last sign of life came."""
        self.lost = ""
        """Why it was given up."""

    @property
    def here(self) -> bool:
        """Whether it can carry out load."""
        return not self.lost and self.clock.known
