"""One task, compiled, and its outcomes at many places: everything is evaluated once for each distinct input."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
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


class Decision(msgspec.Struct):
    """What the condition and the relations of an instance came to. ``packed`` is the whole outcome where the
    parameters do not differ from place to place; ``fault`` says why there is none."""

    outcome: Outcome = Outcome(False)
    packed: bytes | None = None
    fault: InvalidInput | None = None
    idle: InvalidInput | None = None


class Verdict(msgspec.Struct):
    """What the parameters came to."""

    packed: bytes = b""
    fault: InvalidInput | None = None


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
        self._second = tuple(reading for reading in self._parameters.readings if reading not in self._first)
        self._decisions: dict[Hashable, Decision] = {}
        self._verdicts: dict[Hashable, Verdict] = {}

    def findings(self, places: Sequence[Place], numbers: Sequence[int], task: int) -> Findings:
        """Give the outcomes at these places, whose numbers in the chunk are ``numbers``; ``task`` is our own."""
        found = Findings()
        self._forget()
        for place, number in zip(places, numbers, strict=True):
            key = _key(place, self._first)
            decision = self._decisions.get(key)
            if decision is None:
                decision = self._decisions[key] = self._decide(place)
            packed = decision.packed
            if packed is None and decision.fault is None:
                packed = self._finish(place, decision, found, number, task)
            if decision.fault is not None:
                _note(found.faults, decision.fault, number, task)
            elif packed is not None:
                found.of.append(found.distinct.setdefault(packed, len(found.distinct)))
            if decision.idle is not None:
                _note(found.idle, decision.idle, number, task)
        return found

    def _decide(self, place: Place) -> Decision:
        try:
            runs = not self._idle and (self._condition is None or bool(self._condition.at(place)))
            depends = self._depends.at(place) if self._depends is not None else None
            depended_by = self._depended_by.at(place) if self._depended_by is not None else None
        except InvalidInput as error:
            return Decision(fault=error)
        decision = Decision(Outcome(runs, None, depends, depended_by))
        if runs and self._second:
            return decision
        if not runs:
            return self._at_rest(place, decision)
        verdict = self._judge(place, decision.outcome)
        decision.packed, decision.fault = verdict.packed, verdict.fault
        return decision

    def _at_rest(self, place: Place, decision: Decision) -> Decision:
        """The parameters of what does not run are not needed; only their faults are told."""
        if not self._check or self._parameters.sure:
            decision.packed = _encode(decision.outcome)
        elif not self._second:
            decision.packed, decision.idle = _encode(decision.outcome), self._judge(place, decision.outcome).fault
        return decision

    def _finish(self, place: Place, decision: Decision, found: Findings, number: int, task: int) -> bytes | None:
        """Judge the parameters where they differ from place to place."""
        key = (decision.outcome.runs, _key(place, self._first), _key(place, self._second))
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._judge(place, decision.outcome)
        if verdict.fault is None:
            return verdict.packed if decision.outcome.runs else _encode(decision.outcome)
        _note(found.faults if decision.outcome.runs else found.idle, verdict.fault, number, task)
        return None if decision.outcome.runs else _encode(decision.outcome)

    def _judge(self, place: Place, outcome: Outcome) -> Verdict:
        try:
            parameters = self._parameters.at(place)
        except InvalidInput as error:
            return Verdict(fault=error)
        try:
            return Verdict(_encode(msgspec.structs.replace(outcome, parameters=parameters)))
        except (TypeError, OverflowError) as error:
            what = f"the parameters hold a value that cannot be written: {error}"
            return Verdict(fault=InvalidInput(what, mend="let the expression give texts, numbers, lists and mappings"))

    def _forget(self) -> None:
        for known in (self._decisions, self._verdicts):
            if len(known) > _REMEMBERED:
                known.clear()


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


def _note(faults: dict[str, Fault], error: InvalidInput, number: int, task: int) -> None:
    """Note a fault at its first place, and how often it came."""
    known = faults.get(error.what)
    if known is None:
        faults[error.what] = Fault(number, task, error.what, error.where or "", error.mend or "")
    else:
        faults[error.what] = msgspec.structs.replace(known, count=known.count + 1)
