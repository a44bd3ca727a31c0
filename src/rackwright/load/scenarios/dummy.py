"""Scenarios without a target: to try task files, criteria and hooks."""

from __future__ import annotations

import random

from rackwright.load.scenario import Scenario


class DummyFailure(Exception):
    """A failure that was asked for."""


class Dummy(Scenario):
    """Dummy.dummy: sleeps."""

    async def run(self, sleep: float = 0) -> None:
        """Wait ``sleep`` seconds."""
        await self.sleep(sleep)


class DummyException(Scenario):
    """Dummy.dummy_exception: fails always."""

    async def run(self, size_of_message: int = 1, sleep: float = 1, message: str = "") -> None:
        """Wait, then fail with a message, or with one of so many characters."""
        await self.sleep(sleep)
        raise DummyFailure(message or "M" * size_of_message)


class DummyExceptionProbability(Scenario):
    """Dummy.dummy_exception_probability: fails now and then."""

    async def run(self, exception_probability: float = 0.5) -> None:
        """Fail with a probability, 0 to 1."""
        if random.random() < exception_probability:
            raise DummyFailure(f"Dummy Scenario Exception: probability {exception_probability}")


class DummyOutput(Scenario):
    """Dummy.dummy_output: makes data of each kind of chart."""

    async def run(self, random_range: int = 25) -> None:
        """Add random numbers below ``random_range``."""
        pairs = [[f"line {number}", random.randint(0, random_range)] for number in range(1, 4)]
        self.add_output(
            additive={"title": "Random numbers", "chart_plugin": "StatsTable", "data": pairs},
            complete={"title": "Random numbers of one iteration", "chart_plugin": "Pie", "data": pairs},
        )


class DummyRandomAction(Scenario):
    """Dummy.dummy_random_action: atomic actions of random length."""

    async def run(self, actions_num: int = 5, sleep_min: float = 0, sleep_max: float = 0) -> None:
        """Carry out so many actions, each as long as chance will have it."""
        for number in range(actions_num):
            with self.atomic(f"action_{number}"):
                await self.sleep(random.uniform(sleep_min, sleep_max))


class DummyRandomFailInAtomic(Scenario):
    """Dummy.dummy_random_fail_in_atomic: atomic actions that fail now and then."""

    async def run(self, exception_probability: float = 0.5) -> None:
        """Carry out two actions, each of which may fail."""
        for number in (1, 2):
            with self.atomic(f"dummy_fail_test_{number}"):
                if random.random() < exception_probability:
                    raise DummyFailure("Dummy test exception")


class DummyTimedAtomicActions(Scenario):
    """Dummy.dummy_timed_atomic_actions: each atomic action takes longer than the one before."""

    async def run(self, number_of_actions: int = 5, sleep_factor: float = 1) -> None:
        """Carry out so many actions; action n takes n times ``sleep_factor`` seconds."""
        for number in range(number_of_actions):
            with self.atomic(f"action_{number}"):
                await self.sleep(number * sleep_factor)


class DummyFailing(Scenario):
    """Dummy.failure: fails in a stretch of iterations."""

    async def run(self, sleep: float = 0.1, from_iteration: int = 0, to_iteration: int = 0, each: int = 1) -> None:
        """Fail every ``each``-th iteration between two numbers."""
        await self.sleep(sleep)
        if from_iteration <= self.iteration <= to_iteration and self.iteration % each == 0:
            raise DummyFailure(f"iteration {self.iteration} fails, as asked")
