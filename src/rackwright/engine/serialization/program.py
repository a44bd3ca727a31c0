"""One task, compiled, and its outcomes at many places: everything is evaluated once for each distinct input."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from itertools import repeat
from typing import Any

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import has_expression
from rackwright.engine.expressions.compiler import Compiler
from rackwright.engine.expressions.reading import Place, Reading
from rackwright.engine.serialization.messages import Fault, Outcome
from rackwright.engine.serialization.rendering import Condition, Formatted, LegacyCondition, Rendering

WITHOUT_OLD_STATE = ("group", "stage", "skipped")
"""Types of tasks that leave nothing behind to compare with."""

_REMEMBERED = 4096
"""Distinct inputs whose outcomes are kept from chunk to chunk; beyond that inputs are as good as unique."""

_encode = msgspec.msgpack.Encoder().encode


class Verdict(msgspec.Struct):
    """What an instance came to: ``packed`` is its outcome (msgpack), ``fault`` what failed; of an instance that does
    not run there may be both."""

    packed: bytes | None = None
    fault: InvalidInput | None = None


class Decision(msgspec.Struct):
    """What the condition and the relations of an instance came to. ``verdict`` is there unless the parameters differ
    from place to place."""

    outcome: Outcome = Outcome(False)
    packed: bytes = b""
    verdict: Verdict | None = None


class Findings(msgspec.Struct):
    """The outcomes of one task in a chunk: each distinct one, and which one each place has."""

    distinct: dict[bytes, int] = {}
    of: array[int] = msgspec.field(default_factory=lambda: array("I"))
    faults: dict[str, Fault] = {}
    idle: dict[str, Fault] = {}


class Program:
    """A task, compiled for places whose own data has only these top-level keys. ``may_run``: it is among the tasks
    that were asked for."""

    def __init__(self, task: Task, compiler: Compiler, own: frozenset[str], master_ip: str, *, may_run: bool) -> None:
        self._idle = task.type in {"stage", "skipped"} or task.condition is False or not may_run
        self._check = task.type not in WITHOUT_OLD_STATE
        self._condition = None if self._idle else _condition(task.condition, compiler, own)
        self._depends = _relation(task.cross_depends, compiler, own)
        self._depended_by = _relation(task.cross_depended_by, compiler, own)
        self._parameters = Formatted(task.parameters, compiler, own, master_ip)
        firsts = (self._condition, self._depends, self._depended_by)
        self._first: tuple[Reading, ...] = _union(part.readings for part in firsts if part is not None)
        self._alike = not (self._first or self._parameters.readings)
        self._decisions: dict[Hashable, Decision] = {}
        self._verdicts: dict[Hashable, Verdict] = {}

    def findings(self, places: Sequence[Place], numbers: Sequence[int], task: int) -> Findings:
        """Give the outcomes at these places, whose numbers in the chunk are ``numbers``; ``task`` is our own."""
        found = Findings()
        self._forget()
        if self._alike and all(place.shared is places[0].shared for place in places):
            self._note(found, self._verdict_at(places[0]), numbers[0], task, len(places))
            return found
        for place, number in zip(places, numbers, strict=True):
            self._note(found, self._verdict_at(place), number, task, 1)
        return found

    def _verdict_at(self, place: Place) -> Verdict:
        key = _key(place, self._first)
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decisions[key] = self._decide(place)
        return decision.verdict or self._verdict(place, decision)

    @staticmethod
    def _note(found: Findings, verdict: Verdict, number: int, task: int, times: int) -> None:
        """Note what so many places came to, of which ``number`` is the first."""
        if verdict.packed is not None:
            outcome = found.distinct.setdefault(verdict.packed, len(found.distinct))
            found.of.extend(repeat(outcome, times))
        if verdict.fault is not None:
            faults = found.idle if verdict.packed is not None else found.faults
            error = verdict.fault
            fault = faults.get(error.what) or Fault(number, task, error.what, error.where, error.mend, 0)
            faults[error.what] = msgspec.structs.replace(fault, count=fault.count + times)

    def _decide(self, place: Place) -> Decision:
        try:
            runs = not self._idle and (self._condition is None or bool(self._condition.at(place)))
            depends = self._depends.at(place) if self._depends is not None else None
            depended_by = self._depended_by.at(place) if self._depended_by is not None else None
            outcome = Outcome(runs, None, depends, depended_by)
            decision = Decision(outcome, _packed(outcome))
        except InvalidInput as error:
            return Decision(verdict=Verdict(fault=error))
        if not runs and (not self._check or self._parameters.sure):
            decision.verdict = Verdict(decision.packed)
        elif not self._parameters.readings:
            decision.verdict = self._verdict(place, decision)
        return decision

    def _verdict(self, place: Place, decision: Decision) -> Verdict:
        key = (decision.packed, _key(place, self._parameters.readings))
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._judge(place, decision)
        return verdict

    def _judge(self, place: Place, decision: Decision) -> Verdict:
        """Fill the parameters. What does not run needs none; only their fault is told."""
        try:
            parameters = self._parameters.at(place)
            if decision.outcome.runs:
                return Verdict(_packed(msgspec.structs.replace(decision.outcome, parameters=parameters)))
        except InvalidInput as error:
            return Verdict(None if decision.outcome.runs else decision.packed, error)
        return Verdict(decision.packed)

    def _forget(self) -> None:
        for known in (self._decisions, self._verdicts):
            if len(known) > _REMEMBERED:
                known.clear()


def _packed(outcome: Outcome) -> bytes:
    """Raises InvalidInput for a value that has no form outside of an expression."""
    try:
        return _encode(outcome)
    except (TypeError, OverflowError) as error:
        what = f"an expression gives a value that cannot be written: {error}"
        raise InvalidInput(what, mend="let it give texts, numbers, lists and mappings") from None


def _key(place: Place, readings: tuple[Reading, ...]) -> Hashable:
    """What tells places apart. Places with old data and places without never share: their common old data differ."""
    if not readings:
        return id(place.shared)
    if len(readings) == 1:
        return id(place.shared), place.answer(readings[0])
    return (id(place.shared), *map(place.answer, readings))


def _condition(condition: Any, compiler: Compiler, own: frozenset[str]) -> Condition | None:
    if condition is True:
        return None
    if isinstance(condition, str):
        return LegacyCondition(condition, own)
    return Rendering(condition, compiler, own)


def _relation(template: Any, compiler: Compiler, own: frozenset[str]) -> Rendering | None:
    return Rendering(template, compiler, own) if has_expression(template) else None


def _union(readings: Any) -> tuple[Reading, ...]:
    return tuple(dict.fromkeys(reading for some in readings for reading in some))
