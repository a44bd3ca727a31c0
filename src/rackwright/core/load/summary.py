"""A workload in one table: a row for the iterations and one for each action; and two or more runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from rackwright.core.load.counts import Counts, lowest
from rackwright.core.load.result import WHOLE, Part
from rackwright.core.load.timeline import QUANTILES
from rackwright.core.load.track import Recording, Track

Measure = Literal["latency", "service"]


class Row(msgspec.Struct, kw_only=True):
    """An action's durations in seconds, over all that it did, failed ones too.

    ``quantiles`` are those of ``core.load.timeline.QUANTILES``. ``mean`` and ``deviation`` are exact for service times
    and not known (None) for latencies, whose counts alone are kept.
    """

    action: str
    measure: Measure
    total: int
    errors: int
    rate: float
    """Ended iterations for each second of load."""
    quantiles: tuple[float, ...]
    low: float
    high: float
    mean: float | None = None
    deviation: float | None = None

    @property
    def error_percent(self) -> float:
        """Failed ones of a hundred."""
        return 100 * self.errors / self.total if self.total else 0.0


class Change(msgspec.Struct, kw_only=True):
    """One number of a workload, before and after; ``percent`` is None where there was nothing to compare with."""

    action: str
    number: str
    unit: Literal["seconds", "per second", "percent"]
    before: float
    after: float
    more_is_better: bool = False

    @property
    def percent(self) -> float | None:
        """By how much it grew."""
        return 100 * (self.after / self.before - 1) if self.before else None

    @property
    def direction(self) -> Literal["better", "worse", "same"]:
        """Whether that is good; less than one part in twenty counts as the same."""
        if abs(self.after - self.before) <= abs(self.before) / 20:
            return "same"
        return "better" if (self.after > self.before) == self.more_is_better else "worse"


def rows(track: Track) -> list[Row]:
    """The iterations from their intended start and from their real start, then each action by name."""
    parts = track.result.whole
    whole = parts.get(WHOLE) or Part()
    span = track.result.load_duration or float(track.length)
    table = [_latency(whole, span), _service(WHOLE, whole, span)]
    return table + [_service(name, part, span) for name, part in sorted(parts.items()) if name != WHOLE]


def _latency(part: Part, span: float) -> Row:
    low, high = extremes(part.latency)
    return Row(
        action=WHOLE,
        measure="latency",
        total=part.total,
        errors=part.errors,
        rate=part.total / span if span else 0.0,
        quantiles=tuple(part.latency.quantiles(QUANTILES)),
        low=low,
        high=high,
    )


def _service(name: str, part: Part, span: float) -> Row:
    seen = bool(part.every.count)
    return Row(
        action=name,
        measure="service",
        total=part.total,
        errors=part.errors,
        rate=part.total / span if span else 0.0,
        quantiles=tuple(part.service.quantiles(QUANTILES)),
        low=part.every.low if seen else 0.0,
        high=part.every.high if seen else 0.0,
        mean=part.every.mean if seen else None,
        deviation=part.every.deviation if seen else None,
    )


def extremes(counts: Counts) -> tuple[float, float]:
    """The lowest and the highest of what was counted, in seconds, as near as buckets tell."""
    if not counts.buckets:
        return 0.0, 0.0
    return lowest(min(counts.buckets)), lowest(max(counts.buckets) + 1)


def changes(before: Track, after: Track) -> list[Change]:
    """What is different between two runs of a workload: rate, errors and durations of all that both did."""
    old = {(row.action, row.measure): row for row in rows(before)}
    return [
        change
        for row in rows(after)
        if (row.action, row.measure) in old
        for change in _changes(old[row.action, row.measure], row)
    ]


def _changes(old: Row, new: Row) -> Iterator[Change]:
    if new.measure == "latency" or new.action != WHOLE:
        yield Change(
            action=new.action, number="rate", unit="per second", before=old.rate, after=new.rate, more_is_better=True
        )
        yield Change(
            action=new.action, number="errors", unit="percent", before=old.error_percent, after=new.error_percent
        )
    for part, was, is_now in zip(QUANTILES, old.quantiles, new.quantiles, strict=True):
        yield Change(
            action=new.action, number=f"{new.measure} {percentile(part)}", unit="seconds", before=was, after=is_now
        )


def percentile(part: float) -> str:
    """A part of all values as people say it: 0.5 is ``p50``, 0.999 is ``p99.9``."""
    return f"p{part * 100:.10g}"


def key_of(track: Track, among: Sequence[Track]) -> tuple[str, str, int]:
    """What makes a workload the same one in another run: its subtask, its scenario, and which of these it is."""
    name, scenario = track.result.name, track.result.scenario
    alike = [other for other in among if (other.result.name, other.result.scenario) == (name, scenario)]
    return name, scenario, next(n for n, other in enumerate(alike) if other is track)


def pairs(before: Recording, after: Recording) -> Iterator[tuple[Track | None, Track]]:
    """Each workload of a run, with the same one of an earlier run if that has it."""
    old = {key_of(track, before.tracks): track for track in before.tracks}
    for track in after.tracks:
        yield old.get(key_of(track, after.tracks)), track
