"""What users write: a class with ``run``. One object of it is made for each iteration.

    class Checkout(Scenario):
        \"\"\"Buys one thing.\"\"\"

        async def run(self, url: str) -> None:
            with self.atomic("basket"):
                answer = await self.http.get(url + "/basket")
            self.check(answer.status == 200, f"basket: {answer.status}")

A ``run`` that is not a coroutine runs in a thread: derive it from ``BlockingScenario``.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from rackwright.load.http import Http

if TYPE_CHECKING:
    import httpx

clock = time.monotonic
"""One clock for all load processes of a host."""


class CheckFailed(Exception):
    """What a scenario looked at is not as it should be."""


class Action(msgspec.Struct, array_like=True):
    """An atomic action that ended: its path (``outer/inner``), start and end on the clock, and whether it failed."""

    path: str
    started: float
    ended: float
    failed: bool


class Surroundings:
    """What all iterations in one load process share: clients, and what the contexts have set up.

    ``context`` is not copied for each iteration: a scenario reads it only.
    """

    def __init__(self, http: Http, context: Mapping[str, Any] | None = None) -> None:
        self.http = http
        self.context: Mapping[str, Any] = context or {}
        self.kept: dict[str, Any] = {}
        """What scenarios keep from one iteration to the next: connections, by names of their own."""

    @functools.cached_property
    def client(self) -> httpx.Client:
        """An HTTP client for scenarios that run in threads."""
        # It loads slowly, and every load process would wait for it.
        import httpx

        return httpx.Client()


class Scenario:
    """One iteration: its number in the whole run (from 1), what the contexts set up, and the means to load a target."""

    actions: Sequence[Action] = ()
    """Atomic actions that ended, in that order."""
    output: dict[str, list[Any]] | None = None
    """Data that was added."""
    _path = ""

    def __init__(self, iteration: int, surroundings: Surroundings) -> None:
        self.iteration = iteration
        self.surroundings = surroundings

    run: Callable[..., Any]
    """What a subclass defines: ``async def run(self, ...)``; it gets the scenario's arguments of the task file."""

    @property
    def http(self) -> Http:
        """The HTTP/1.1 client of this load process: kept connections, capped in number."""
        return self.surroundings.http

    @property
    def context(self) -> Mapping[str, Any]:
        """What the contexts have set up."""
        return self.surroundings.context

    def atomic(self, name: str) -> Atomic:
        """Time a block under a name: ``with self.atomic("login"): ...``; blocks may lie in each other."""
        return Atomic(self, name)

    async def sleep(self, seconds: float) -> None:
        """Wait; it counts as part of the iteration."""
        await asyncio.sleep(seconds)

    def check(self, holds: bool, otherwise: str) -> None:
        """Fail the iteration with these words unless something holds. Raises CheckFailed."""
        if not holds:
            raise CheckFailed(otherwise)

    def add_output(self, *, additive: Any = None, complete: Any = None) -> None:
        """Keep data for the run's raw rows: a part of a chart over all iterations, or a chart of this one alone."""
        if self.output is None:
            self.output = {"additive": [], "complete": []}
        if additive is not None:
            self.output["additive"].append(additive)
        if complete is not None:
            self.output["complete"].append(complete)


class BlockingScenario(Scenario):
    """A scenario whose ``run`` is a plain function; each iteration has a thread while it runs."""

    @property
    def client(self) -> httpx.Client:
        """An HTTP client for threads."""
        return self.surroundings.client

    def wait(self, seconds: float) -> None:
        """Wait; it counts as part of the iteration."""
        time.sleep(seconds)


class Atomic:
    """The block of one atomic action; it is kept when it ends, also if it fails."""

    __slots__ = ("_name", "_outer", "_scenario", "_started")

    def __init__(self, scenario: Scenario, name: str) -> None:
        self._scenario = scenario
        self._name = name

    def __enter__(self) -> None:
        scenario = self._scenario
        self._outer = scenario._path
        scenario._path = f"{self._outer}/{self._name}" if self._outer else self._name
        self._started = clock()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ended = clock()
        scenario = self._scenario
        action = Action(scenario._path, self._started, ended, kind is not None)
        if isinstance(scenario.actions, list):
            scenario.actions.append(action)
        else:
            scenario.actions = [action]
        scenario._path = self._outer

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)
