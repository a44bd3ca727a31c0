"""An agent as the controller sees it."""

from __future__ import annotations

import time

from rackwright.load.distributed.clock import Clock

UNHEARD = 1.5
"""Seconds that an agent may have heard us after the last that we heard of it: heartbeats and pings come each second."""


class Member:
    """One agent that was let in. ``session`` is known to it and the controller alone; ``asked`` is the name that it
    would have, were there no other of that name."""

    def __init__(self, identity: bytes, session: str, name: str, host: str, asked: str = "") -> None:
        self.identity = identity
        self.session = session
        self.name = name
        self.host = host
        self.asked = asked or name
        self.clock = Clock()
        self.heard = time.monotonic()
        """When its last sign of life came."""
        self.turned = self.heard
        """When its loop surely turned."""
        self.left = False
        """It went by itself."""
        self.lost = ""
        """Why it was given up."""

    def free_at(self, leash: float) -> float:
        """The moment from which it surely starts nothing, once it is lost: a leash after it could last hear us."""
        return time.monotonic() if self.left else self.turned + UNHEARD + leash

    @property
    def here(self) -> bool:
        """Whether it can carry out load."""
        return not self.lost and self.clock.known
