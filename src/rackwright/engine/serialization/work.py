"""The work itself: a chunk of places in, the outcomes of their tasks out. One pure function over bytes, so that it may
run in this process, in another one, or on another machine, and give the same."""

from __future__ import annotations

import gc
import sys
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions.compiler import Compiler
from rackwright.engine.expressions.reading import Place
from rackwright.engine.serialization.messages import Answer, Chunk, Fault, Outcomes, Part, Setup
from rackwright.engine.serialization.program import WITHOUT_OLD_STATE, Program
from rackwright.engine.serialization.state import read_part

_setups = msgspec.msgpack.Decoder(Setup)
_chunks = msgspec.msgpack.Decoder(Chunk)
_answers = msgspec.msgpack.Encoder()


def answer(setup: bytes, chunk: bytes) -> bytes:
    """Evaluate a chunk (msgpack of Chunk) under a setup (msgpack of Setup); gives the msgpack of an Answer.

    An expression that fails is part of the answer. What a setup takes to prepare is kept for the next chunk.
    """
    began = time.process_time()
    with _uncollected():
        try:
            found = _kept.prepared(setup).answer(_chunks.decode(chunk))
        except InvalidInput as error:
            found = Answer(faults=[Fault(0, -1, error.what, error.where, error.mend)])
    return _answers.encode(msgspec.structs.replace(found, seconds=time.process_time() - began))


def warm() -> None:
    """Make ready what does not depend on a setup, in this thread."""
    _kept.compiler()


def prepare(setup: bytes) -> None:
    """Make a setup ready, in this thread. Raises InvalidInput, as the answer to a chunk would tell."""
    with _uncollected():
        _kept.prepared(setup)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector of cycles from walking through the data of the whole fleet again and again: reading a chunk
    makes very many objects, and no cycles."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Work:
    """A setup, ready: its common data read once, its expressions compiled once."""

    def __init__(self, setup: Setup, compiler: Compiler) -> None:
        self._setup = setup
        self._common = read_part(setup.common, "new.common")
        self._old_common = None
        if setup.old_common is not None:
            self._old_common = _before(setup.old_common, self._common, "old.common")
        self._compared: dict[object, Any] = {}
        self._fresh: dict[object, Any] = {}
        self._compiler = compiler
        self._programs: dict[tuple[int, frozenset[str]], Program] = {}

    def answer(self, chunk: Chunk) -> Answer:
        """Give the outcomes of a chunk, or its faults."""
        sites = [_Site(part) for part in chunk.parts]
        own = frozenset(key for site in sites for part in (site.new, site.old or {}) for key in part)
        standing: dict[int, list[int]] = {}
        for number, part in enumerate(chunk.parts):
            for task in chunk.tasks[part.tasks]:
                standing.setdefault(task, []).append(number)
        outcomes: list[Outcomes] = []
        faults: list[Fault] = []
        idle: list[Fault] = []
        for task, numbers in sorted(standing.items()):
            places = self._places(task, sites, numbers)
            found = self._program(task, own).findings(places, numbers, task)
            outcomes.append(Outcomes(task, list(found.distinct), _little_endian(found.of)))
            faults += found.faults.values()
            idle += found.idle.values()
        return Answer(faults=faults) if faults else Answer(outcomes, idle=idle)

    def _places(self, task: int, sites: Sequence[_Site], numbers: Sequence[int]) -> list[Place]:
        compares = self._setup.tasks[task].type not in WITHOUT_OLD_STATE
        return [self._compare(sites[number]) if compares else self._look(sites[number]) for number in numbers]

    def _compare(self, site: _Site) -> Place:
        """The place as tasks see it that leave an old state behind."""
        if site.compared is None:
            if self._old_common is None or site.old is None:
                site.compared = self._look(site)
            else:
                site.compared = Place(self._common, site.new, self._old_common, site.old, self._compared)
        return site.compared

    def _look(self, site: _Site) -> Place:
        """The place as tasks see it that have no old state."""
        if site.fresh is None:
            site.fresh = Place(self._common, site.new, None, None, self._fresh)
        return site.fresh

    def _program(self, task: int, own: frozenset[str]) -> Program:
        program = self._programs.get((task, own))
        if program is None:
            setup = self._setup
            found = setup.tasks[task]
            may_run = setup.only is None or found.id in setup.only
            program = Program(found, self._compiler, own, setup.master_ip, may_run=may_run)
            self._programs[task, own] = program
        return program


class _Site:
    """One place of a chunk, read."""

    def __init__(self, part: Part) -> None:
        self.new = read_part(part.new, f"new.nodes.{part.node}")
        self.old = _before(part.old, self.new, f"old.nodes.{part.node}") if part.old is not None else None
        self.compared: Place | None = None
        self.fresh: Place | None = None


def _before(old: bytes, new: dict[str, Any], where: str) -> dict[str, Any]:
    return shared_with(new, read_part(old, where)) if old else new


def shared_with(new: Any, old: Any) -> Any:
    """Give ``old`` with the objects of ``new`` wherever the two are the same: comparing these costs nothing then."""
    if type(new) is not type(old):
        return old
    if type(new) is dict:
        same = {key: shared_with(new[key], value) if key in new else value for key, value in old.items()}
        alike = len(same) == len(new) and all(key in same and same[key] is value for key, value in new.items())
        return new if alike and list(same) == list(new) else same
    if type(new) is list:
        items = [shared_with(one, other) for one, other in zip(new, old, strict=False)] + old[len(new) :]
        alike = len(items) == len(new) and all(one is other for one, other in zip(items, new, strict=True))
        return new if alike else items
    # Equal floats may yet be written differently: 0.0 and -0.0.
    return new if new == old and (type(new) is not float or repr(new) == repr(old)) else old


class _Kept(threading.local):
    """What a thread keeps from chunk to chunk: the compiler, and the newest setup, ready."""

    def __init__(self) -> None:
        self._compiler: Compiler | None = None
        self._setup = b""
        self._work: _Work | None = None

    def compiler(self) -> Compiler:
        """Give the compiler; making the grammar takes it a while."""
        if self._compiler is None:
            self._compiler = Compiler()
        return self._compiler

    def prepared(self, setup: bytes) -> _Work:
        """Give the work of a setup."""
        if self._work is None or (self._setup is not setup and self._setup != setup):
            self._setup, self._work = setup, _Work(_setups.decode(setup), self.compiler())
        return self._work


_kept = _Kept()


def _little_endian(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = array("I", numbers)
        numbers.byteswap()
    return numbers.tobytes()
