"""What a run comes to for those who only want its verdict: promises kept or broken, when, and a few figures."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rackwright.core.load.lines import Begun, Judged, Line, Over, Passed, Told, numbers
from rackwright.core.load.result import WHOLE, Judgement, Part, Status
from rackwright.core.load.track import Recording, Track

FILE = "verdict.json"
"""In a run's folder, when it is over: its verdict, for programs of this host."""


class Breach(msgspec.Struct, kw_only=True):
    """A promise that was broken. Times are seconds from the workload's start; ``since`` is None where it has no second
    of its own, ``until`` where it held no more until the end."""

    workload: str
    scenario: str
    criterion: str
    action: str
    detail: str
    since: float | None = None
    until: float | None = None

    def __str__(self) -> str:
        """In words."""
        action = f" of {self.action}" if self.action else ""
        words = f"{self.workload}, {self.scenario}: {self.criterion}{action}: {self.detail}"
        if self.since is None:
            return words
        ended = "and did not recover" if self.until is None else f"and recovered in second {self.until:g}"
        return f"{words}; it broke in second {self.since:g} {ended}"


class Figures(msgspec.Struct, kw_only=True):
    """What a workload's iterations came to. Durations are seconds, ``latency`` is by the names of quantiles."""

    workload: str
    scenario: str
    seconds: int = 0
    total: int = 0
    errors: int = 0
    missed: int = 0
    latency: dict[str, float] = {}

    @property
    def rate(self) -> float:
        """Iterations that ended, for each second."""
        return self.total / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        """In words."""
        p99 = f"p99 {self.latency['p99'] * 1e3:.3g} ms" if "p99" in self.latency else "nothing ended"
        return f"{self.workload}, {self.scenario}: {self.total:,} iterations, {p99}"


class Verdict(msgspec.Struct, kw_only=True):
    """Of one run. ``status`` stays ``running`` where its last line is not known."""

    run: str = ""
    status: Status = "running"
    success: bool = False
    figures: list[Figures] = []
    breaches: list[Breach] = []
    notes: list[str] = []

    def __str__(self) -> str:
        """In one sentence or two."""
        if self.success:
            return "; ".join(map(str, self.figures))
        return "; ".join([*map(str, self.breaches), *self.notes]) or f"the run is {self.status}"


def verdict(lines: Iterable[Line]) -> Verdict:
    """The verdict of a run by its lines."""
    found = Verdict()
    figures: dict[int, Figures] = {}
    for line in lines:
        if isinstance(line, Told):
            found.run, found.status, found.success = line.run, line.status, line.success
            continue
        of = figures.setdefault(line.workload, Figures(workload=f"workload {line.workload}", scenario=""))
        if isinstance(line, Begun):
            of.workload, of.scenario = line.name, line.scenario
        elif isinstance(line, Passed):
            of.seconds = line.at + 1
            of.missed += line.missed
        elif isinstance(line, Judged):
            found.breaches += _breaches(line, of)
        elif isinstance(line, Over):
            of.total, of.errors, of.latency = line.total, line.errors, line.latency
            found.notes += [f"{of.workload}: {note}" for note in line.notes]
    found.figures = list(figures.values())
    return found


def verdict_of(recording: Recording) -> Verdict:
    """The verdict of a run that is over."""
    run, tracks = recording.run, recording.tracks
    figures = [_figures(track) for track in tracks]
    return Verdict(
        run=run.id,
        status=run.status,
        success=run.success,
        figures=figures,
        breaches=[
            breach
            for of, track in zip(figures, tracks, strict=True)
            for judgement in track.result.judgements
            for breach in _breaches(judgement, of)
        ],
        notes=[f"{track.result.name}: {note}" for track in tracks for note in track.result.notes],
    )


def _figures(track: Track) -> Figures:
    result = track.result
    whole = numbers(result.whole.get(WHOLE) or Part())
    return Figures(
        workload=result.name,
        scenario=result.scenario,
        seconds=track.length,
        total=whole.total,
        errors=whole.errors,
        missed=track.missed,
        latency=whole.latency,
    )


def _breaches(line: Judged | Judgement, of: Figures) -> list[Breach]:
    if line.success:
        return []
    stretches: list[tuple[float | None, float | None]] = [*line.broken] or [(None, None)]
    return [
        Breach(
            workload=of.workload,
            scenario=of.scenario,
            criterion=line.criterion,
            action=line.action,
            detail=line.detail,
            since=since,
            until=until,
        )
        for since, until in stretches
    ]
