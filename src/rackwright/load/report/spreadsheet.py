"""A run as CSV (RFC 4180): a line for each second and action, for spreadsheets and data frames. Times are seconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.summary import percentile
from rackwright.core.load.timeline import QUANTILES, quantiles_of
from rackwright.core.load.track import Recording, Track

_NAMES = tuple(percentile(part) for part in QUANTILES)
COLUMNS = (
    "run", "workload", "position", "scenario", "second", "action", "total", "errors",
    *(f"latency_{name}" for name in _NAMES), *(f"service_{name}" for name in _NAMES),
    "service_mean", "service_min", "service_max",
    "intended", "started", "missed", "in_flight", "lag_p99", "cpu",
)  # fmt: skip
"""The last six stand in lines of whole iterations only: they tell of the generator, not of an action."""
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is a formula to a spreadsheet."""


def spreadsheet(recording: Recording) -> Iterator[str]:
    """The lines, titles first; empty cells are numbers that are not known."""
    yield _line(COLUMNS)
    for track in recording.tracks:
        for second in track.seconds():
            yield from (_line(cells) for cells in _cells(recording.run.id, track, second))


def _cells(run: str, track: Track, second: Second) -> Iterator[list[Any]]:
    workload = track.result
    for name, part in sorted(({WHOLE: Part()} | second.parts).items()):
        head = [run, workload.name, workload.position, workload.scenario, second.at, name]
        yield head + _numbers(part) + (_generator(second) if name == WHOLE else [""] * 6)


def _numbers(part: Part) -> list[Any]:
    quantiles = [quantiles_of(counts) or ("",) * len(QUANTILES) for counts in (part.latency, part.service)]
    every = part.every
    moments = [every.mean, every.low, every.high] if every.count else [""] * 3
    return [part.total, part.errors, *quantiles[0], *quantiles[1], *moments]


def _generator(second: Second) -> list[Any]:
    lag = second.lag.quantile(0.99) if second.lag.buckets else ""
    return [second.intended, second.started, second.missed, second.in_flight, lag, second.cpu]


def _line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.9g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value
