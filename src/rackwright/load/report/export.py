"""A run in the format of another program."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from rackwright.core.load.result import RunResult
from rackwright.core.load.track import Recording
from rackwright.load.report.digest import digest
from rackwright.load.report.junit import junit
from rackwright.load.report.prometheus import prometheus
from rackwright.load.report.spreadsheet import spreadsheet


def complete(recording: Recording) -> RunResult:
    """The run with all its seconds."""
    workloads = [msgspec.structs.replace(track.result, seconds=list(track.seconds())) for track in recording.tracks]
    return msgspec.structs.replace(recording.run, workloads=workloads)


FORMATS: dict[str, Callable[[Recording], Iterable[str]]] = {
    "json": lambda run: (msgspec.json.format(msgspec.json.encode(digest(run)), indent=2).decode(), "\n"),
    "counts": lambda run: (msgspec.json.encode(complete(run)).decode(), "\n"),
    "junit": lambda run: (junit(run),),
    "csv": spreadsheet,
    "prometheus": prometheus,
}
"""Each by its name, as text in pieces. ``counts`` is all that is known, and can be read back; it alone has
every second in memory at once."""
