"""A run as lines of JSON while it goes on: what `load run -o jsonl` prints, what the log of a task with the jig `load`
holds, and what the API gives to pages. Times are seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec

from rackwright.core.load.result import WHOLE, Health, Judgement, Part, RunResult, Second, Status, WorkloadResult
from rackwright.core.load.summary import percentile
from rackwright.core.load.timeline import QUANTILES

ITERATIONS = "iterations"
"""The name of the iterations themselves, beside those of atomic actions."""
MOST_GENERATORS = 100
"""Generators of which one line tells; it counts them all."""


class Numbers(msgspec.Struct, kw_only=True):
    """What a stretch of time came to; ``latency`` by the names of quantiles, empty of nothing."""

    total: int
    errors: int
    latency: dict[str, float]
    service_mean: float


class Begun(msgspec.Struct, kw_only=True, tag_field="event", tag="begin"):
    """A workload begins; ``duration`` and ``iterations`` as far as they are known."""

    workload: int
    name: str
    scenario: str
    duration: float | None = None
    iterations: int | None = None


class Passed(msgspec.Struct, kw_only=True, tag_field="event", tag="second"):
    """A second of a workload is over."""

    workload: int
    at: int
    intended: int
    started: int
    missed: int
    in_flight: int
    lag_p99: float
    actions: dict[str, Numbers]
    cpu: float = 0.0
    """Processor seconds of the generators."""


class Standing(msgspec.Struct, kw_only=True, tag_field="event", tag="standing"):
    """How a workload stands while it goes on: told when a promise breaks or holds again, when a generator comes or is
    lost, and every few seconds. ``health`` has those that were lost first, at most ``MOST_GENERATORS`` of all
    ``generators``."""

    workload: int
    judgements: list[Judgement]
    generators: int
    health: list[Health]


class Judged(msgspec.Struct, kw_only=True, tag_field="event", tag="judgement"):
    """What became of one promise; ``broken`` are the stretches in which it did not hold."""

    workload: int
    criterion: str
    success: bool
    detail: str
    action: str = WHOLE
    broken: list[tuple[float, float | None]] = []


class Over(msgspec.Struct, kw_only=True, tag_field="event", tag="end"):
    """A workload is over."""

    workload: int
    success: bool
    notes: list[str]
    total: int
    errors: int
    latency: dict[str, float]
    service_mean: float


class Told(msgspec.Struct, kw_only=True, tag_field="event", tag="result"):
    """The run is over; ``folder`` is where it is kept, on the host on which it ran."""

    run: str
    status: Status
    success: bool
    folder: Annotated[str, msgspec.Meta(min_length=1)]


Line = Begun | Passed | Standing | Judged | Over | Told

_line: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def numbers(part: Part) -> Numbers:
    """What a part comes to."""
    names = map(percentile, QUANTILES)
    found = part.latency.quantiles(QUANTILES) if part.latency.buckets else ()
    return Numbers(
        total=part.total,
        errors=part.errors,
        latency=dict(zip(names, found, strict=False)),
        service_mean=part.every.mean,
    )


def passed(workload: int, second: Second) -> Passed:
    """The line of a second."""
    return Passed(
        workload=workload,
        at=second.at,
        intended=second.intended,
        started=second.started,
        missed=second.missed,
        in_flight=second.in_flight,
        lag_p99=second.lag.quantile(0.99),
        actions={name or ITERATIONS: numbers(part) for name, part in second.parts.items()},
        cpu=second.cpu,
    )


def standing(workload: int, judgements: Sequence[Judgement], health: Sequence[Health]) -> Standing:
    """The line of how it stands."""
    by_loss = sorted(health, key=lambda each: each.lost_at is None)
    return Standing(
        workload=workload,
        judgements=list(judgements),
        generators=len(by_loss),
        health=by_loss[:MOST_GENERATORS],
    )


def judged(workload: int, judgement: Judgement) -> Judged:
    """The line of a verdict."""
    return Judged(workload=workload, **msgspec.structs.asdict(judgement))


def over(result: WorkloadResult) -> Over:
    """The line of a workload's end."""
    whole = numbers(result.whole.get(WHOLE) or Part())
    return Over(workload=result.position, success=result.success, notes=result.notes, **msgspec.structs.asdict(whole))


def told(result: RunResult, folder: str) -> Told:
    """The last line."""
    return Told(run=result.id, status=result.status, success=result.success, folder=folder)


def lines(texts: Iterable[bytes]) -> Iterator[Line]:
    """The lines among these, in order; what is none of them (words of programs, half a line) is passed over."""
    for text in texts:
        try:
            yield _line.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
