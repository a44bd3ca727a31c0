"""What one agent does of a load: its share, what it told, and whether it is over."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rackwright.core.load.course import Deal, between
from rackwright.core.load.result import WHOLE, Health, Second
from rackwright.core.load.schedule import Open, Schedule
from rackwright.load.distributed.member import Member
from rackwright.load.distributed.messages import Delta, Finished
from rackwright.load.words import Report


class Part:
    """One piece of a load at one agent; an agent that inherits has more than one."""

    def __init__(self, member: Member, piece: int, schedule: Schedule, deals: Sequence[Deal]) -> None:
        self.member = member
        self.piece = piece
        self.schedule = schedule
        self.deals = list(deals)
        """What it has of the load, from which place on; nothing yet for one that comes late."""
        self.since = time.monotonic()
        """When it was asked for, began, or last told something."""
        self.ready = False
        self.begun = False
        self.over = False
        self.done = False
        """Whether nothing of it is left to do."""
        self.finished: Finished | None = None
        self.lost_at: float | None = None
        self.deltas = 0
        self.gaps = 0
        """Deltas that were sent and did not come."""
        self.uncovered = 0
        """Starts of which nobody knows whether they took place."""
        self.upto = 0.0
        self.free_at = 0.0
        """The moment before which it must not begin: others may still start what it inherits."""
        self.iterations = 0
        """That ended, and are counted in the seconds that came."""
        self.peak_rss = 0

    @property
    def key(self) -> tuple[str, int]:
        """Its name among all parts of the load."""
        return self.member.session, self.piece

    @property
    def works(self) -> bool:
        """Whether it carries its share out now."""
        return self.begun and not self.over and self.finished is None

    @property
    def complete(self) -> bool:
        """Whether all that it had to tell has come."""
        return self.finished is not None and self.deltas >= self.finished.deltas

    def take(self, delta: Delta) -> None:
        """Note what a delta says of the part itself."""
        self.since = time.monotonic()
        self.gaps += max(0, delta.number - self.deltas - 1)
        self.deltas = delta.number
        self.upto = max(self.upto, delta.report.upto)
        self.iterations += sum(second.parts[WHOLE].total for second in delta.report.seconds if WHOLE in second.parts)
        self.peak_rss = delta.report.peak_rss

    def unknown(self, end: float) -> Report:
        """The starts that it should have made from its last delta until ``end``: they count as missed."""
        assert isinstance(self.schedule, Open)
        seconds: dict[int, Second] = {}
        for at in between(self.schedule, self.deals, self.upto, end):
            second = seconds.setdefault(int(at), Second(at=int(at)))
            second.intended += 1
            second.missed += 1
            self.uncovered += 1
        return Report(upto=self.upto, seconds=list(seconds.values()))


def health(parts: Sequence[Part], share: float) -> Health:
    """How one agent did, from all its parts of a load; ``share`` is how many iterations it should have done, as far as
    that is known."""
    member = parts[0].member
    missing = sum(part.uncovered for part in parts) / share if share else 0.0
    return Health(
        name=member.name,
        host=member.host,
        iterations=sum(part.iterations for part in parts),
        covered=max(0.0, 1.0 - missing),
        lost_at=next((part.lost_at for part in parts if part.lost_at is not None), None),
        clock_offset=member.clock.wall_ahead if member.clock.known else 0.0,
        peak_rss=max(part.peak_rss for part in parts),
    )
