"""The verdict: from the seconds of a whole run, or live, second by second."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.core.load.result import Judgement, Second
from rackwright.core.load.sla.criterion import Criterion
from rackwright.core.load.sla.own import Throughput

_AN_INSTANT = 0.01


class Live:
    """Judges a run while it goes on. Seconds are merged of all processes and given once, in order."""

    def __init__(self, criteria: Iterable[Criterion]) -> None:
        self._courses = [_Course(criterion) for criterion in criteria]

    def take(self, second: Second) -> list[Criterion]:
        """Take the next second; gives the criteria that do not hold as it stands."""
        return [course.criterion for course in self._courses if not course.take(second)]

    @property
    def turns(self) -> int:
        """How often a criterion broke or held again."""
        return sum(course.turns for course in self._courses)

    def standing(self) -> list[Judgement]:
        """What is to be said of each criterion as it stands: what may still come right is not held against it."""
        return [course.standing() for course in self._courses]


def judge(criteria: Iterable[Criterion], seconds: Iterable[Second], until: float | None = None) -> list[Judgement]:
    """The verdict over a run that has ended; ``seconds`` in order, those without events may be missing.

    ``until`` is when the load ended, in seconds: when the last start was due. A throughput is judged up to there,
    over whole seconds; when it is not known, up to the second before the one of the last start, and all seconds are
    held in memory.
    """
    courses = [_Course(criterion) for criterion in criteria]
    if until is None:
        seconds = list(seconds)
        until = max((second.at for second in seconds if second.started), default=0)
    loaded = max(int(until + _AN_INSTANT), 1)
    for second in _without_gaps(seconds):
        for course in courses:
            if second.at < loaded or not isinstance(course.criterion, Throughput):
                course.take(second)
    return [course.judgement() for course in courses]


def _without_gaps(seconds: Iterable[Second]) -> Iterable[Second]:
    following = 0
    for second in seconds:
        for at in range(following, second.at):
            yield Second(at=at)
        yield second
        following = second.at + 1


class _Course:
    """One criterion along a run: whether it holds, and the stretches in which it did not."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self._gauge = criterion.gauge()
        self._holds = True
        self._broken: list[tuple[float, float | None]] = []
        self._worst: float | None = None
        """Of all windows; of those that broke it, if any did."""
        self._kept = True

    def take(self, second: Second) -> bool:
        """Whether it holds after this second. Where nothing can be told, what was so before stays so."""
        if second.at < self.criterion.after:
            return True
        value = self._gauge.take(second)
        if value is None:
            return self._holds
        held, self._holds = self._holds, self.criterion.holds_so_far(value)
        if held and not self._holds:
            self._broken.append((float(second.at), None))
        elif self._holds and not held:
            self._broken[-1] = (self._broken[-1][0], float(second.at))
        if self.criterion.window is not None:
            self._compare(value)
        return self._holds

    def judgement(self) -> Judgement:
        """What became of it: with a window no window may break it, without one the whole run counts."""
        criterion, value = self.criterion, self._gauge.last()
        if self._worst is not None:
            success, value = self._kept, self._worst
        else:
            success = value is None or criterion.holds(value)
        broken = list(self._broken)
        told = bool(broken) and (criterion.window is not None or broken[-1][1] is None)
        if not success and not told:
            broken.append((float(criterion.after), None))
        return Judgement(
            criterion=criterion.name,
            success=success,
            detail=self._detail(value),
            action=criterion.action,
            broken=broken,
        )

    @property
    def turns(self) -> int:
        """How often it broke or held again."""
        return 2 * len(self._broken) - (not self._holds)

    def standing(self) -> Judgement:
        """What became of it so far."""
        holds = self._holds if self.criterion.window is None else self._kept
        return Judgement(
            criterion=self.criterion.name,
            success=holds,
            detail=self._detail(self._gauge.last() if self._worst is None else self._worst),
            action=self.criterion.action,
            broken=list(self._broken),
        )

    def _detail(self, value: float | None) -> str:
        criterion = self.criterion
        over = "over the run" if criterion.window is None else f"over every {criterion.window} s"
        since = f" from second {criterion.after} on" if criterion.after else ""
        if value is None:
            return f"not judged: too little to judge {over}{since}; promised: {criterion.promise()}"
        worst = " at worst" if self._worst is not None else ""
        return f"{value:.4g} {criterion.unit}{worst}, {criterion.promise()} {over}{since}"

    def _compare(self, value: float) -> None:
        kept = self.criterion.holds(value)
        if kept and not self._kept:
            return
        if self._worst is None or kept != self._kept:
            self._worst = value
        self._kept = kept
        self._worst = (min if self.criterion.lower_is_worse else max)(self._worst, value)
