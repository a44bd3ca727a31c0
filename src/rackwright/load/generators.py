"""Where load comes from: processes of this host, or agents on many hosts. Who runs a workload sees no difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rackwright.core.errors import RackwrightError
from rackwright.core.load.result import Health, Sample, Second
from rackwright.load.words import Work


class LoadFailed(RackwrightError):
    """A load could not be carried out."""


class Ears(NamedTuple):
    """Who hears what a load tells while it goes on."""

    second: Callable[[Second], None]
    """Gets every merged second once, in order."""
    start: Callable[[int, float], None]
    """Gets the number and the moment of watched iterations."""
    proof: Callable[[str], None]
    """Gets why the SLA is broken, when a part of the load alone can tell."""


class Load(Protocol):
    """One workload under way."""

    zero: float
    """The start, by this host's monotonic clock."""
    length: float
    """Seconds from the start to the last thing that was reported."""
    notes: list[str]
    faults: list[str]
    """Why the load was not what was asked: they fail the workload."""

    async def run(self) -> None:
        """From the first process to the last; returns when all have ended. Raises LoadFailed when none can begin."""
        ...

    def stop(self, reason: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        ...

    @property
    def samples(self) -> list[Sample]:
        """Errors by kind, the most frequent first."""
        ...

    @property
    def health(self) -> Sequence[Health]:
        """How each process or agent did."""
        ...


class Generators(Protocol):
    """Makes loads."""

    def load(self, work: Work, ears: Ears) -> Load:
        """A load of this work, all of its share, which is not started yet."""
        ...
