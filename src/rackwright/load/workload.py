"""One workload, from its contexts to its verdict. ``find_knee`` runs its load again and again, each time at a rate."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from rackwright.core.load.knee import FindKnee, Trial, highest
from rackwright.core.load.result import WHOLE, Health, Judgement, Part, Second, WorkloadResult
from rackwright.core.load.schedule import Open, Schedule
from rackwright.core.load.sla.criterion import Criterion
from rackwright.core.load.sla.judging import Live, judge
from rackwright.core.load.sla.proof import bounds
from rackwright.load.checking import Prepared
from rackwright.load.code import place_of
from rackwright.load.contexts import Surrounding
from rackwright.load.generators import Ears, Generators, Load
from rackwright.load.hooks import Hooks
from rackwright.load.merging import add_whole
from rackwright.load.words import Work

PATIENCE = 30.0
"""Seconds that running iterations have to end when a load was stopped early; then they are cancelled."""

STANDING = 10
"""Seconds after which it is told again how the SLA and the generators stand, when neither has changed."""


class WorkloadRun:
    """Runs one workload into its result. ``read`` gives the seconds that were kept, in order."""

    def __init__(
        self,
        prepared: Prepared,
        result: WorkloadResult,
        folder: Path,
        *,
        generators: Generators,
        stop_on_violation: bool,
        read: Callable[[], Iterator[Second]],
    ) -> None:
        self._prepared = prepared
        self.result = result
        self._folder = folder
        self._generators = generators
        self._stop_on_violation = stop_on_violation
        self._read = read
        self._load: Load | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._live = Live([])
        self._since = 0
        self._last_start = 0
        self._aborted: Judgement | None = None
        self._faults: list[str] = []
        self.broken = False
        """The load was stopped because of its SLA."""
        self.on_second: Callable[[Second], object] = lambda second: None
        self.on_standing: Callable[[Sequence[Judgement], Sequence[Health]], object] = lambda judgements, health: None
        """Hears how the SLA and the generators stand."""
        self._stood: object = None
        self.on_end: Callable[[], object] = lambda: None

    async def run(self) -> None:
        """Run it to its end. Raises RackwrightError when it cannot be run; contexts are cleaned up then too."""
        begun = time.monotonic()
        result, prepared = self.result, self._prepared
        result.started_at = time.time()
        surrounding = Surrounding(prepared.contexts, {})
        try:
            async with surrounding as shared:
                await self._run_loads(shared)
        finally:
            result.notes += surrounding.notes
            result.full_duration = time.monotonic() - begun
            self._add_last_words()
            self.on_end()

    def abort(self, criterion: str, why: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        if self._aborted is None:
            self._aborted = Judgement(criterion=criterion, success=False, detail=why)
        if self._load is None:
            return
        self._load.stop(why, cancel=cancel)
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._lose_patience)

    async def _run_loads(self, shared: dict[str, object]) -> None:
        runner = self._prepared.runner
        if not isinstance(runner, FindKnee):
            criteria = await self._run_load(runner.schedule(), shared)
            self.result.judgements = judge(criteria, self._read(), float(self._last_start or 1))
            return
        await self._find(runner, shared)

    async def _find(self, knee: FindKnee, shared: dict[str, object]) -> None:
        tried: list[Trial] = []
        while self._aborted is None and (rate := knee.following(tried)) is not None:
            since = self._since
            criteria = await self._run_load(knee.at(rate), shared)
            seconds = [_moved(second, -since) for second in self._read() if second.at >= since]
            judgements = judge(criteria, seconds, knee.duration)
            held = all(judgement.success for judgement in judgements) and not any(each.missed for each in seconds)
            tried.append(Trial(rate, held))
        found = highest(tried)
        self.result.knee = {"tried": msgspec.to_builtins(tried), "highest": found}
        self.result.judgements = [
            Judgement(
                criterion="find_knee",
                success=found > 0,
                detail=f"{found:g} /s is the highest rate that held its SLA, of {len(tried)} that were tried",
            )
        ]

    async def _run_load(self, schedule: Schedule, shared: dict[str, object]) -> list[Criterion]:
        """Run one load; gives the criteria as they are meant for its schedule."""
        prepared = self._prepared
        planned = schedule.planned
        criteria = [criterion.with_plan(planned) for criterion in prepared.criteria]
        self._live = Live(criteria)
        hooks = Hooks(prepared.hooks, self._elapsed)
        load = self._generators.load(
            Work(
                scenario=place_of(prepared.scenario),
                args=prepared.workload.args,
                context=shared,
                schedule=schedule,
                folder=str(self._folder / f"from-{self._since}" if self._searches else self._folder),
                watch=hooks.watch,
                bounds=bounds(filter(self._stops, criteria), planned),
            ),
            Ears(self._take, hooks.hear, self._stop_for),
        )
        self._load = load
        try:
            if self._aborted is None:
                await load.run()
        finally:
            await hooks.finish()
            self._load = None
            if self._patience is not None:
                self._patience.cancel()
            self._keep(load, hooks, schedule)
        return criteria

    @property
    def _searches(self) -> bool:
        return isinstance(self._prepared.runner, FindKnee)

    def _elapsed(self) -> float:
        return 0.0 if self._load is None else time.monotonic() - self._load.zero

    def _take(self, second: Second) -> None:
        broken = self._live.take(second)
        if second.started:
            self._last_start = self._since + second.at
        moved = _moved(second, self._since)
        add_whole(self.result.whole, moved)
        stopping = [each for each in broken if self._stops(each)]
        if stopping:
            self._stop_for(f"{stopping[0].name} does not hold: {stopping[0].promise()}")
        self.on_second(moved)
        self._tell_standing(moved.at)
        self.result.load_duration = float(moved.at + 1)

    def _tell_standing(self, at: int) -> None:
        health = self._load.health if self._load else ()
        stands = at // STANDING, self._live.turns, [(each.name, each.lost_at) for each in health]
        if stands != self._stood:
            self._stood = stands
            self.on_standing(self._live.standing(), health)

    def _stops(self, criterion: Criterion) -> bool:
        return self._stop_on_violation or criterion.on_violation == "stop"

    def _stop_for(self, why: str) -> None:
        if self._searches and self._load is not None:
            # The rate is too high; the next one is tried.
            self._load.stop(why)
            return
        self.broken = True
        self.abort("aborted_on_sla", why)

    def _lose_patience(self) -> None:
        if self._load is not None:
            self._load.stop("", cancel=True)
            self.result.notes.append(f"iterations that ran {PATIENCE:g} s after the stop were cancelled")

    def _keep(self, load: Load, hooks: Hooks, schedule: Schedule) -> None:
        result = self.result
        result.load_duration = self._since + load.length
        self._since = math.ceil(result.load_duration)
        result.firings += hooks.firings
        result.samples = load.samples
        result.health = list(load.health)
        result.notes += load.notes
        self._faults += load.faults
        missed = sum(second.missed for second in self._read())
        if isinstance(schedule, Open) and missed and not self._searches and self._aborted is None:
            result.notes.append(
                f"generator-limited: {missed} starts came more than {schedule.max_lag:g} s late or not at all"
            )

    def _add_last_words(self) -> None:
        if self._faults:
            words = "; ".join(self._faults)
            self.result.judgements.append(Judgement(criterion="generators", success=False, detail=words))
        if self._aborted is not None:
            self.result.judgements.append(self._aborted)
        if not self.result.whole.get(WHOLE, Part()).total and self._aborted is None:
            self.result.judgements.append(
                Judgement(criterion="something_went_wrong", success=False, detail="no iteration ended")
            )


def _moved(second: Second, by: int) -> Second:
    return second if not by else msgspec.structs.replace(second, at=second.at + by)
