"""A workload told line by line, for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from rackwright.core.load import lines
from rackwright.core.load.result import Health, Judgement, Second, WorkloadResult


class Lines:
    """Watches a workload; ``write`` gets each line of JSON, without its end."""

    def __init__(self, workload: WorkloadResult, write: Callable[[str], object]) -> None:
        self._workload = workload
        self._write = write

    def begin(self, name: str, *, duration: float | None = None, iterations: int | None = None) -> None:
        """A line that it begins."""
        position, scenario = self._workload.position, self._workload.scenario
        self._tell(
            lines.Begun(workload=position, name=name, scenario=scenario, duration=duration, iterations=iterations)
        )

    def take(self, second: Second) -> None:
        """A line for a second."""
        self._tell(lines.passed(self._workload.position, second))

    def stand(self, judgements: Sequence[Judgement], health: Sequence[Health]) -> None:
        """A line of how it stands."""
        self._tell(lines.standing(self._workload.position, judgements, health))

    def judge(self, judgements: Sequence[Judgement]) -> None:
        """A line for each criterion."""
        for judgement in judgements:
            self._tell(lines.judged(self._workload.position, judgement))

    def end(self) -> None:
        """A line that it is over."""
        self._tell(lines.over(self._workload))

    def _tell(self, line: lines.Line) -> None:
        self._write(msgspec.json.encode(line).decode())
