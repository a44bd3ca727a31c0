"""What a load run leaves: one record for each second and action, mergeable exactly, and the verdict.

Times are seconds. ``at`` counts from the workload's start by the controller's clock. Latency is measured from the
intended start of an iteration, service time from its real start.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rackwright.core.load.counts import Counts
from rackwright.core.load.moments import Moments

WHOLE = ""
"""The name under which a second's parts hold the iterations themselves; the others are atomic actions by path."""

Status = Literal["running", "finished", "aborted", "aborted_on_sla", "crashed"]


class Part(msgspec.Struct, kw_only=True):
    """The iterations, or one atomic action, that ended within one second (or, merged, within any stretch of time)."""

    total: int = 0
    errors: int = 0
    latency: Counts = msgspec.field(default_factory=Counts)
    service: Counts = msgspec.field(default_factory=Counts)
    good: Moments = msgspec.field(default_factory=Moments)
    """Service times of those that did not fail: most of Rally's criteria count these only."""
    every: Moments = msgspec.field(default_factory=Moments)
    """Service times of all."""
    failed: Counts = msgspec.field(default_factory=Counts)
    """Service times of those that failed; ``service`` holds them too."""

    def add(self, latency: float, service: float, *, failed: bool = False) -> None:
        """Take one that ended, with its seconds from the intended and from the real start."""
        self.total += 1
        self.latency.add(latency)
        self.service.add(service)
        self.every.add(service)
        if failed:
            self.errors += 1
            self.failed.add(service)
        else:
            self.good.add(service)

    def merge(self, other: Part) -> None:
        """Take all that the other one holds."""
        self.total += other.total
        self.errors += other.errors
        self.latency.merge(other.latency)
        self.service.merge(other.service)
        self.good.merge(other.good)
        self.every.merge(other.every)
        self.failed.merge(other.failed)


class Second(msgspec.Struct, kw_only=True):
    """One second of a workload: what ended in it, and how the generator did."""

    at: int
    parts: dict[str, Part] = {}
    intended: int = 0
    """Starts that the schedule has in this second."""
    started: int = 0
    missed: int = 0
    """Starts that came later than the schedule allows, or not at all."""
    lag: Counts = msgspec.field(default_factory=Counts)
    """From the intended to the real start."""
    in_flight: int = 0
    """At the second's end."""
    cpu: float = 0.0
    """Processor seconds of the generator."""

    def merge(self, other: Second) -> None:
        """Take what another process or agent did in the same second; ``at`` stays."""
        for name, part in other.parts.items():
            self.parts.setdefault(name, Part()).merge(part)
        self.intended += other.intended
        self.started += other.started
        self.missed += other.missed
        self.lag.merge(other.lag)
        self.in_flight += other.in_flight
        self.cpu += other.cpu


class Judgement(msgspec.Struct, kw_only=True):
    """What became of one SLA criterion."""

    criterion: str
    success: bool
    detail: str
    """A sentence: the value, the limit, over what."""
    action: str = WHOLE
    broken: list[tuple[float, float | None]] = []
    """Stretches in which it did not hold: from, until (None: to the end), in seconds from the start."""


class Firing(msgspec.Struct, kw_only=True):
    """One firing of a hook."""

    action: str
    trigger: str
    value: float
    """Iteration or second that fired it."""
    started_at: float
    finished_at: float | None = None
    status: Literal["success", "failed", "running"] = "running"
    output: str = ""


class Sample(msgspec.Struct, kw_only=True):
    """An error as it was seen, with how often its kind came."""

    kind: str
    message: str
    count: int = 1
    first_at: float = 0.0
    trace: str = ""


class Health(msgspec.Struct, kw_only=True):
    """One load process or agent, and whether it did its share."""

    name: str
    host: str = ""
    iterations: int = 0
    covered: float = 1.0
    """Part of its share that it carried out, 0 to 1."""
    lost_at: float | None = None
    clock_offset: float = 0.0
    peak_rss: int = 0
    """Bytes."""


class WorkloadResult(msgspec.Struct, kw_only=True):
    """One workload of a run."""

    name: str
    """Of its subtask."""
    position: int = 0
    scenario: str
    description: str = ""
    args: dict[str, Any] = {}
    runner: dict[str, Any] = {}
    contexts: dict[str, Any] = {}
    sla: dict[str, Any] = {}
    hooks: list[dict[str, Any]] = []
    started_at: float = 0.0
    """Seconds since the epoch."""
    load_duration: float = 0.0
    full_duration: float = 0.0
    seconds: list[Second] = []
    whole: dict[str, Part] = {}
    """All seconds merged, by action."""
    judgements: list[Judgement] = []
    firings: list[Firing] = []
    samples: list[Sample] = []
    health: list[Health] = []
    notes: list[str] = []
    """What a reader must know: generator-limited, an agent lost, contexts whose clean-up failed, ..."""
    knee: dict[str, Any] = {}
    """For ``find_knee``: the rates that were tried, and the highest that held."""

    @property
    def success(self) -> bool:
        """Whether every criterion held."""
        return all(judgement.success for judgement in self.judgements)


class RunResult(msgspec.Struct, kw_only=True):
    """A whole run."""

    id: str
    title: str
    description: str = ""
    tags: tuple[str, ...] = ()
    status: Status = "running"
    started_at: float = 0.0
    finished_at: float | None = None
    version: str = ""
    task: dict[str, Any] = {}
    """The task file in its canonical v2 form."""
    workloads: list[WorkloadResult] = []

    @property
    def success(self) -> bool:
        """Whether it ended as it should, and every workload held its SLA."""
        return self.status == "finished" and all(workload.success for workload in self.workloads)
