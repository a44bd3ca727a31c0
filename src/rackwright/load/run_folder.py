"""A run's folder: written as the run goes, readable while it does.

run.json                  all but the seconds; replaced whole, about once a second
verdict.json              what it came to, when it is over
000/seconds.msgpack       the merged seconds of workload 0, each with its length before it
000/process-0/*.zst       raw rows of its first load process, see `chunks`
abort                     somebody asks for the end
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from rackwright.core.errors import NotFound
from rackwright.core.load.result import RunResult, Second, WorkloadResult
from rackwright.core.load.verdict import FILE, Verdict
from rackwright.load.merging import add_whole

RUN = "run.json"
SECONDS = "seconds.msgpack"
ABORT = "abort"
_LENGTH = 4

_second = msgspec.msgpack.Decoder(Second)
_run = msgspec.json.Decoder(RunResult)


class RunFolder:
    """The folder of one run; it is made when something is first written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[int, BinaryIO] = {}

    def workload(self, position: int) -> Path:
        """Where a workload's files are."""
        return self.path / f"{position:03d}"

    def write(self, result: RunResult) -> None:
        """Keep everything but seconds and wholes."""
        self.path.mkdir(parents=True, exist_ok=True)
        lean = msgspec.structs.replace(
            result,
            workloads=[msgspec.structs.replace(each, seconds=[], whole={}) for each in result.workloads],
        )
        self._replace(RUN, lean)

    def conclude(self, verdict: Verdict) -> None:
        """Keep what the run came to."""
        self._replace(FILE, verdict)

    def _replace(self, name: str, value: object) -> None:
        draft = self.path / f".{name}.{os.getpid()}"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
        draft.replace(self.path / name)

    def add_second(self, position: int, second: Second) -> None:
        """Keep a merged second; it can be read at once."""
        file = self._open.get(position)
        if file is None:
            self.workload(position).mkdir(parents=True, exist_ok=True)
            file = self._open[position] = (self.workload(position) / SECONDS).open("ab")
        packed = msgspec.msgpack.encode(second)
        file.write(len(packed).to_bytes(_LENGTH, "big") + packed)
        file.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def seconds(self, position: int) -> Iterator[Second]:
        """The seconds that were kept, in order, one at a time in memory; one that is not whole ends them."""
        try:
            file = (self.workload(position) / SECONDS).open("rb")
        except FileNotFoundError:
            return
        with file:
            while True:
                head = file.read(_LENGTH)
                packed = file.read(int.from_bytes(head, "big"))
                if len(head) < _LENGTH or len(packed) < int.from_bytes(head, "big"):
                    return
                yield _second.decode(packed)

    def read(self, *, seconds: bool = True) -> RunResult:
        """The run as it stands; ``seconds``: with them, and with all of them merged.

        Raises:
            NotFound: when this is no run's folder.
        """
        try:
            result = _run.decode((self.path / RUN).read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            raise NotFound(
                f"no run can be read here: {error}", where=str(self.path), mend="give a run's folder"
            ) from None
        if seconds:
            for position, workload in enumerate(result.workloads):
                self._fill(position, workload)
        return result

    def ask_abort(self) -> None:
        """Ask the run to end; it looks for this several times a second."""
        (self.path / ABORT).touch()

    @property
    def abort_asked(self) -> bool:
        """Whether somebody asked."""
        return (self.path / ABORT).exists()

    def _fill(self, position: int, workload: WorkloadResult) -> None:
        workload.seconds = list(self.seconds(position))
        for second in workload.seconds:
            add_whole(workload.whole, second)


def newest(folder: Path) -> RunFolder:
    """The run in a folder of runs that began last. Raises NotFound when there is none."""
    runs = sorted(folder.glob(f"*/{RUN}"), key=lambda file: file.parent.name)
    if not runs:
        raise NotFound("there is no run yet", where=str(folder), mend="start one: rackwright load run FILE")
    return RunFolder(runs[-1].parent)


def find(folder: Path, name: str) -> RunFolder:
    """A run by its id, the beginning of it, or the path of its folder; the newest if nothing is given."""
    if not name:
        return newest(folder)
    if (Path(name) / RUN).is_file():
        return RunFolder(Path(name))
    found = sorted(file for file in folder.glob(f"*/{RUN}") if file.parent.name.startswith(name))
    if len(found) != 1:
        raise NotFound(
            f"{len(found) or 'no'} runs are called {name}", where=str(folder), mend="rackwright load results lists them"
        )
    return RunFolder(found[0].parent)
