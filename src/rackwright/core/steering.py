"""What steers a deployment beside its graph: pauses, windows, waves and tolerances, and whether they hold it now."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import msgspec

from rackwright.core import tolerance, waves, windows
from rackwright.core.tolerance import Tolerance
from rackwright.core.waves import Progress, WaveRule

Zones = Callable[[str], datetime.tzinfo]
"""Gives a time zone by its name."""


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that steers one deployment. ``held`` says why nothing may begin now, empty: something may; ``error``:
    it is held because too much has failed."""

    deployment: int
    windows: tuple[str, ...] = ()
    time_zone: str = "UTC"
    paused_until: float | None = None
    waves: WaveRule | None = None
    progress: Progress | None = None
    tolerances: dict[str, tuple[Tolerance, ...]] = {}
    """By graph."""
    noop: bool = False
    """Node tasks are only rehearsed."""
    sequence: tuple[str, ...] = ()
    """The graph that is carried out, and those that follow once it is active."""
    held: str = ""
    error: bool = False

    @property
    def empty(self) -> bool:
        """True when nothing steers it."""
        return not (self.windows or self.paused_until or self.waves or self.tolerances or self.noop or self.sequence)

    @property
    def open_wave(self) -> int | None:
        """Nodes of higher waves wait; None: none do."""
        return self.progress.wave if self.waves is not None and self.progress is not None else None


def judge(steering: Steering, failed: set[int], now: float, zones: Zones) -> Steering:
    """The same with ``held`` as it is at ``now``; ``failed`` holds the scopes that have a node task in error."""
    until = steering.paused_until
    if until is not None and until <= now:
        steering, until = msgspec.structs.replace(steering, paused_until=None), None
    groups = [group for graph in steering.tolerances.values() for group in graph]
    error = tolerance.exceeded(groups, failed)
    if not error and steering.waves is not None and steering.progress is not None:
        rule, at = steering.waves, steering.progress
        error = waves.told(rule, at) if waves.halted(rule, at) else ""
    return msgspec.structs.replace(steering, held=error or _closed(steering, until, now, zones), error=bool(error))


def _closed(steering: Steering, until: float | None, now: float, zones: Zones) -> str:
    zone = zones(steering.time_zone)
    if until is not None:
        return f"paused until {_clock(until, zone)}"
    opening = windows.opens([windows.read(text) for text in steering.windows], now, zone)
    return "" if opening is None else f"outside its window until {_clock(opening, zone)}"


def _clock(at: float, zone: datetime.tzinfo) -> str:
    return datetime.datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M %Z")
