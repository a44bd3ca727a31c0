"""What happens beside a load, at an iteration or a second of it: each firing is carried out on its own."""

from __future__ import annotations

import asyncio
import shlex
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from rackwright.core.load.result import Firing
from rackwright.core.load.triggers import Trigger, Watch, together

OUTPUT = 10_000
"""Characters of an action's output that are kept."""
PATIENCE = 600.0
"""Seconds that actions have to end after the load has ended; then they are cancelled."""


class Action(Protocol):
    """What the group ``rackwright.hook`` holds: a class that takes the settings."""

    async def run(self) -> str:
        """Do it, and give its output. Whatever is raised is its failure."""
        ...


class SysCall:
    """sys_call: a program on the controller's host, given as one line; no shell reads it."""

    def __init__(self, config: str | list[str]) -> None:
        self._command = shlex.split(config) if isinstance(config, str) else config

    async def run(self) -> str:
        """Run it to its end; an exit code other than 0 is a failure."""
        process = await asyncio.create_subprocess_exec(*self._command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        text = said.decode(errors="replace")
        if process.returncode:
            raise ChildProcessError(f"exit code {process.returncode}\n{text}")
        return text


class Hook(NamedTuple):
    """An action and what fires it, with their names."""

    action: Action
    trigger: Trigger
    action_name: str = ""
    trigger_name: str = ""


class Hooks:
    """All hooks of a workload. ``clock`` gives seconds since the workload's start."""

    def __init__(self, hooks: list[Hook], clock: Callable[[], float]) -> None:
        self._hooks = hooks
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.Task[None]] = []
        self.firings: list[Firing] = []

    @property
    def watch(self) -> Watch:
        """The iterations whose start must be told here; the first one too, if seconds are counted from it."""
        watches = [hook.trigger.watch() for hook in self._hooks]
        timed = any(next(hook.trigger.moments(), None) is not None for hook in self._hooks)
        return together([*watches, Watch(frozenset({1}))] if timed else watches)

    def hear(self, number: int, at: float) -> None:
        """An iteration started, ``at`` seconds from the workload's start."""
        if number == 1 and not self._timers:
            self._timers = [asyncio.create_task(self._keep_time(hook, at)) for hook in self._hooks]
        for hook in self._hooks:
            if hook.trigger.watch().holds(number):
                self._fire(hook, float(number))

    async def finish(self) -> None:
        """No more firings; those under way are waited for."""
        for timer in self._timers:
            timer.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _keep_time(self, hook: Hook, first: float) -> None:
        for moment in hook.trigger.moments():
            await asyncio.sleep(max(0.0, first + moment - self._clock()))
            self._fire(hook, moment)

    def _fire(self, hook: Hook, value: float) -> None:
        firing = Firing(action=hook.action_name, trigger=hook.trigger_name, value=value, started_at=self._clock())
        self.firings.append(firing)
        task = asyncio.create_task(self._carry_out(hook.action, firing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, action: Action, firing: Firing) -> None:
        try:
            said: Any = await action.run()
            firing.output, firing.status = str(said or "")[:OUTPUT], "success"
        except asyncio.CancelledError:
            firing.output, firing.status = f"not done {PATIENCE:g} s after the load", "failed"
            raise
        except Exception as error:
            firing.output, firing.status = f"{type(error).__name__}: {error}"[:OUTPUT], "failed"
        finally:
            firing.finished_at = self._clock()
