"""A run in words, for people."""

from __future__ import annotations

from rackwright.cli.output import Column, Item, Output, say
from rackwright.core.load.result import WHOLE, Judgement
from rackwright.core.load.summary import rows
from rackwright.core.load.timeline import QUANTILES
from rackwright.core.load.track import Recording
from rackwright.load.report.words import duration


def _quantile(part: float) -> Column:
    place = QUANTILES.index(part)
    return Column(f"P{part * 100:.10g}", lambda item: duration(item["quantiles"][place]))


ROWS = [
    Column("WORKLOAD", lambda item: str(item["workload"])),
    Column("ACTION", lambda item: str(item["action"])),
    Column("MEASURE", lambda item: str(item["measure"])),
    Column("COUNT", lambda item: f"{item['total']:,}"),
    Column("FAILED", lambda item: f"{item['errors']:,}"),
    Column("RATE", lambda item: f"{item['rate']:.4g}/s"),
    *map(_quantile, (0.5, 0.9, 0.99, 0.999)),
]


def print_run(recording: Recording) -> None:
    """A table of its actions on stdout; verdicts, notes and errors on stderr."""
    items: list[Item] = [
        {
            "workload": track.result.name,
            "action": "iterations" if row.action == WHOLE else row.action,
            "measure": row.measure,
            "total": row.total,
            "errors": row.errors,
            "rate": row.rate,
            "quantiles": row.quantiles,
        }
        for track in recording.tracks
        for row in rows(track)
    ]
    Output().items(items, ROWS)
    for workload in recording.run.workloads:
        for judgement in workload.judgements:
            say(f"{'ok    ' if judgement.success else 'BROKEN'} {workload.name}: {_words(judgement)}")
        for note in workload.notes:
            say(f"note   {workload.name}: {note}")
        for sample in workload.samples[:3]:
            say(f"error  {workload.name}: {sample.count} times {sample.kind}: {sample.message}")


def _words(judgement: Judgement) -> str:
    action = f" of {judgement.action}" if judgement.action else ""
    return f"{judgement.criterion}{action}: {judgement.detail}"
