"""Raw rows that an agent keeps of its last run: files by their paths, given when they are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

from rackwright.load.chunks import ENDING
from rackwright.load.distributed.messages import GiveRows, ListRows, Rows


class KeptRows:
    """Keeps the rows of one run; those of the run before go when the next one begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, run: str, within: str) -> Path:
        """Where the rows of a piece of a run go."""
        mine = self._of(run)
        for other in self._folder.glob("*"):
            if other != mine:
                shutil.rmtree(other, ignore_errors=True)
        return mine / within

    def answer(self, asked: ListRows | GiveRows) -> Rows:
        """The paths of a run's chunks, or one chunk; an empty one if it is not there."""
        mine = self._of(asked.run)
        if isinstance(asked, ListRows):
            return Rows(paths=sorted(str(file.relative_to(mine)) for file in mine.rglob(f"*{ENDING}")))
        file = (mine / asked.path).resolve()
        inside = file.is_relative_to(mine.resolve()) and file.is_file()
        return Rows(path=asked.path, chunk=file.read_bytes() if inside else b"")

    def _of(self, run: str) -> Path:
        """The folder of a run; no name leads out of this one."""
        return self._folder / f"run-{Path(run).name}"
