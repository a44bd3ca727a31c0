"""The runners of task files, under Rally's names: what their settings mean as a schedule.

Where Rally's programs and its documentation differ, its documentation holds: a ramp of ``rps`` goes in steps, each
``duration`` seconds long, and never passes ``end``.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Protocol

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.load.schedule import Closed, Open, Schedule, Stage

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Runner(Protocol):
    """What the group ``rackwright.runner`` holds: a msgspec struct of the settings that gives a schedule."""

    def schedule(self) -> Schedule:
        """When iterations start. Raises InvalidInput when the settings contradict each other."""
        ...


class Serial(msgspec.Struct, frozen=True, kw_only=True):
    """One iteration after the other. Settings of other runners are let pass, so that only the name need change."""

    times: Count = 1

    def schedule(self) -> Schedule:
        """One slot."""
        return Closed(times=self.times)


class Constant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``times`` iterations, ``concurrency`` at a time."""

    times: Count = 1
    concurrency: Count = 1
    timeout: NotNegative = 0.0
    max_cpu_count: Count | None = None

    def schedule(self) -> Schedule:
        """As many slots as ``concurrency`` says."""
        if self.concurrency > self.times:
            raise InvalidInput(
                f"concurrency {self.concurrency} is more than times {self.times}",
                mend="lower concurrency, or raise times",
            )
        return Closed(
            times=self.times, concurrency=self.concurrency, timeout=self.timeout, max_processes=self.max_cpu_count
        )


class ConstantForDuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``concurrency`` iterations at a time, until ``duration`` seconds have gone; 0: each slot once."""

    duration: NotNegative
    concurrency: Count = 1
    timeout: NotNegative = 600.0
    max_cpu_count: Count | None = None

    def schedule(self) -> Schedule:
        """Slots with an end in time."""
        return Closed(
            times=None if self.duration else self.concurrency,
            duration=self.duration or None,
            concurrency=self.concurrency,
            timeout=self.timeout,
            max_processes=self.max_cpu_count,
        )


class Ramp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate that grows by ``step`` every ``duration`` seconds from ``start`` to ``end``, then stays: at once
    (``steps``), or evenly (``lines``)."""

    start: NotNegative
    end: Positive
    step: Positive
    duration: Positive = 1.0
    shape: Literal["steps", "lines"] = "steps"

    def stages(self) -> tuple[Stage, ...]:
        """The stages of it; the last one does not end."""
        if self.end < self.start:
            raise InvalidInput(f"the ramp ends at {self.end:g}, below its start at {self.start:g}", mend="raise end")
        steps = math.ceil((self.end - self.start) / self.step - 1e-9)
        last = Stage(math.inf, self.end)
        if self.shape == "lines":
            climb = (self.end - self.start) / self.step * self.duration
            return (Stage(climb, self.start, self.end), last) if climb else (last,)
        return (*(Stage(self.duration, self.start + self.step * step) for step in range(steps)), last)


class Rps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``times`` iterations at a rate, whatever they take. ``max_lag`` and ``distribution`` are not Rally's."""

    times: Count
    rps: Positive | Ramp
    timeout: NotNegative = 0.0
    max_concurrency: Count | None = None
    max_cpu_count: Count | None = None
    distribution: Literal["even", "poisson"] = "even"
    seed: int = 0
    max_lag: Positive = 0.25

    def schedule(self) -> Schedule:
        """An open one that ends by ``times``."""
        stages = self.rps.stages() if isinstance(self.rps, Ramp) else (Stage(math.inf, self.rps),)
        return Open(
            stages=stages,
            times=self.times,
            spread=self.distribution,
            seed=self.seed,
            timeout=self.timeout,
            max_in_flight=self.max_concurrency,
            max_lag=self.max_lag,
            max_processes=self.max_cpu_count,
        )


class Piece(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage of ``arrival``: a rate that stays, or goes along a line to ``to``, for ``duration`` seconds."""

    rate: NotNegative
    duration: Positive
    to: NotNegative | None = None


class Spike(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another ``rate`` for ``duration`` seconds from second ``at`` on."""

    at: NotNegative
    rate: NotNegative
    duration: Positive


class Arrival(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Users who come on their own: a ``rate`` (perhaps with a ``spike``), or ``stages``; it ends by ``duration`` or
    ``times``, whichever comes first."""

    rate: Positive | None = None
    stages: tuple[Piece, ...] = ()
    spike: Spike | None = None
    duration: Positive | None = None
    times: Count | None = None
    distribution: Literal["even", "poisson"] = "even"
    seed: int = 0
    timeout: NotNegative = 0.0
    max_in_flight: Count | None = None
    max_cpu_count: Count | None = None
    max_lag: Positive = 0.25

    def schedule(self) -> Schedule:
        """An open one."""
        if (self.rate is None) == (not self.stages):
            raise InvalidInput("arrival has neither or both of rate and stages", mend="give one of them")
        if self.stages and (self.duration or self.spike):
            raise InvalidInput("stages have durations of their own", mend="leave out duration and spike")
        if not self.stages and self.duration is None and self.times is None:
            raise InvalidInput("nothing ends this arrival", mend="give duration or times")
        return Open(
            stages=self._stages(),
            times=self.times,
            spread=self.distribution,
            seed=self.seed,
            timeout=self.timeout,
            max_in_flight=self.max_in_flight,
            max_lag=self.max_lag,
            max_processes=self.max_cpu_count,
        )

    def _stages(self) -> tuple[Stage, ...]:
        if self.rate is None:
            return tuple(Stage(piece.duration, piece.rate, piece.to) for piece in self.stages)
        whole = math.inf if self.duration is None else self.duration
        if self.spike is None:
            return (Stage(whole, self.rate),)
        end = self.spike.at + self.spike.duration
        if end > whole:
            raise InvalidInput(f"the spike ends at {end:g} s, after the load at {whole:g} s", mend="let it end earlier")
        stages = (
            Stage(self.spike.at, self.rate),
            Stage(self.spike.duration, self.spike.rate),
            Stage(whole - end, self.rate),
        )
        return tuple(stage for stage in stages if stage.duration)
