"""A task with its plugins: everything that is wrong with it is told at once, before anything starts."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from rackwright.core.errors import InvalidInput, NotFound, RackwrightError
from rackwright.core.load.runners import Runner
from rackwright.core.load.sla.criterion import Criterion
from rackwright.core.load.task import Hook as HookText
from rackwright.core.load.task import Task, Workload
from rackwright.load.contexts import Context
from rackwright.load.hooks import Hook
from rackwright.load.plugins import Kind, Plugins
from rackwright.load.scenario import Scenario


class Prepared(NamedTuple):
    """A workload with all that its names mean. Its description is the scenario's, if it has none of its own."""

    workload: Workload
    scenario: type[Scenario]
    runner: Runner
    criteria: list[Criterion]
    contexts: list[tuple[type[Context], Any]]
    hooks: list[Hook]


def prepare(task: Task, plugins: Plugins) -> list[Prepared]:
    """Every workload of a task, in order.

    Raises:
        InvalidInput: ``faults`` holds every plugin that is missing, and every setting that its plugin refuses.
    """
    missing: Counter[str] = Counter()
    faults: list[str] = []
    prepared = []
    for subtask in task.subtasks:
        for position, workload in enumerate(subtask.workloads):
            found = _Workload(plugins, missing)
            prepared.append(found.prepare(workload))
            where = f"{subtask.title!r}, workload {position} ({workload.scenario})"
            faults += [f"{where}: {fault}" for fault in found.faults]
    told = [f"{what} ({count} {'workload' if count == 1 else 'workloads'})" for what, count in missing.items()]
    if told or faults:
        raise InvalidInput(
            f"this task cannot run here: {len(told)} plugins are missing, {len(faults)} settings are wrong",
            mend="install what is missing, correct what is wrong",
            faults=(*told, *faults),
        )
    return [whole for whole in prepared if whole is not None]


class _Workload:
    """One workload: what was found of it, and what is wrong."""

    def __init__(self, plugins: Plugins, missing: Counter[str]) -> None:
        self._plugins = plugins
        self._missing = missing
        self.faults: list[str] = []

    def prepare(self, workload: Workload) -> Prepared | None:
        """None when anything is missing or wrong."""
        scenario = self._use("scenario", workload.scenario, lambda kind: _scenario(kind, workload.args))
        runner = self._use("runner", workload.runner, lambda kind: _runner(kind, workload.runner_settings))
        criteria = [self._use("sla", name, _reader(config)) for name, config in workload.sla.items()]
        contexts = [self._use("context", name, _context(config)) for name, config in workload.contexts.items()]
        hooks = [self._hook(hook) for hook in workload.hooks]
        if scenario is None or runner is None or None in [*criteria, *contexts, *hooks]:
            return None
        first_line = (inspect.getdoc(scenario) or "").partition("\n")[0]
        return Prepared(
            workload=msgspec.structs.replace(workload, description=workload.description or first_line),
            scenario=scenario,
            runner=runner,
            criteria=[criterion for read in criteria for criterion in read],
            contexts=contexts,
            hooks=[hook for hook in hooks if hook is not None],
        )

    def _hook(self, hook: HookText) -> Hook | None:
        ((action_name, action_config),) = hook.action.items()
        ((trigger_name, trigger_config),) = hook.trigger.items()
        action = self._use("hook", action_name, lambda kind: kind(action_config))
        trigger = self._use("trigger", trigger_name, lambda kind: msgspec.convert(trigger_config, kind))
        return Hook(action, trigger, action_name, trigger_name) if action and trigger else None

    def _use(self, kind: Kind, name: str, make: Callable[[Any], Any]) -> Any:
        """What is made of a plugin; None when it is missing or refuses, which is noted."""
        try:
            return make(self._plugins.find(kind, name))
        except NotFound as error:
            self._missing[str(error)] += 1
        except RackwrightError as error:
            self.faults.append(f"{kind} {name}: {error}")
        except Exception as error:
            self.faults.append(f"{kind} {name}: {type(error).__name__}: {error}")
        return None


def _scenario(kind: Any, args: dict[str, Any]) -> Any:
    inspect.signature(kind.run).bind(None, **args)
    return kind


def _runner(kind: Any, settings: dict[str, Any]) -> Any:
    runner = msgspec.convert(settings, kind)
    runner.schedule()
    return runner


def _reader(config: Any) -> Callable[[Any], Any]:
    return lambda kind: kind.read(config)


def _context(config: Any) -> Callable[[Any], Any]:
    """The context with its settings; they are checked where its class says of what type ``settings`` are."""

    def check(kind: Any) -> tuple[Any, Any]:
        expected = getattr(kind, "settings", None)
        if expected is not None:
            msgspec.convert({} if config is None else config, expected)
        return kind, config

    return check
