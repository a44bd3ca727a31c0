"""What a load task says, read from Rally's formats v1 and v2 into one form with all defaults.

The formats are those of Rally's task files; the canonical form that ``Task.to_v2`` gives is v2 itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from rackwright.core.errors import InvalidInput

V1_TITLE = "Task (adopted from task format v1)"
DEFAULT_RUNNER: dict[str, Any] = {"serial": {}}
DEFAULT_SLA: dict[str, Any] = {"failure_rate": {"max": 0}}

One = Annotated[dict[str, Any], msgspec.Meta(min_length=1, max_length=1)]
"""A mapping of one key: the name of a plugin to its settings."""
Title = Annotated[str, msgspec.Meta(max_length=255)]
ShortTitle = Annotated[str, msgspec.Meta(max_length=128)]


class Hook(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Something to do while the load runs, and what fires it."""

    action: One
    trigger: One
    description: str = ""


class _Load(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a workload says."""

    scenario: One
    description: str = ""
    runner: One | None = None
    sla: dict[str, Any] | None = None
    hooks: list[Hook] = []
    contexts: dict[str, Any] = {}


class Workload(msgspec.Struct, kw_only=True):
    """A scenario with its arguments, its runner, its contexts, its hooks and its SLA, by the names of plugins."""

    scenario: str
    args: dict[str, Any]
    runner: str
    runner_settings: dict[str, Any]
    sla: dict[str, Any]
    hooks: list[Hook]
    contexts: dict[str, Any]
    description: str = ""

    def to_v2(self) -> dict[str, Any]:
        """As v2 writes it."""
        return {
            "scenario": {self.scenario: self.args},
            "description": self.description,
            "runner": {self.runner: self.runner_settings},
            "sla": self.sla,
            "hooks": [msgspec.to_builtins(hook) for hook in self.hooks],
            "contexts": self.contexts,
        }


class Subtask(msgspec.Struct, kw_only=True):
    """Workloads that run one after the other, or at the same time."""

    title: str
    workloads: list[Workload]
    group: str = ""
    description: str = ""
    tags: list[str] = []
    run_in_parallel: bool = False

    def to_v2(self) -> dict[str, Any]:
        """As v2 writes it."""
        group = {"group": self.group} if self.group else {}
        return {
            "title": self.title,
            **group,
            "description": self.description,
            "tags": self.tags,
            "run_in_parallel": self.run_in_parallel,
            "workloads": [workload.to_v2() for workload in self.workloads],
        }


class Task(msgspec.Struct, kw_only=True):
    """A whole task file."""

    title: str
    subtasks: list[Subtask]
    description: str = ""
    tags: list[str] = []

    @property
    def workloads(self) -> list[Workload]:
        """All of all subtasks, in order."""
        return [workload for subtask in self.subtasks for workload in subtask.workloads]

    def to_v2(self) -> dict[str, Any]:
        """The canonical form: v2 with every default written out. Reading it gives the same task."""
        return {
            "version": 2,
            "title": self.title,
            "description": self.description,
            "tags": self.tags,
            "subtasks": [subtask.to_v2() for subtask in self.subtasks],
        }


class _Simple(_Load, kw_only=True, forbid_unknown_fields=True):
    """A subtask that is one workload."""

    title: ShortTitle
    group: str = ""
    tags: list[Title] = []


class _Complex(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A subtask of several workloads."""

    title: ShortTitle
    workloads: Annotated[list[_Load], msgspec.Meta(min_length=1)]
    group: str = ""
    description: str = ""
    tags: list[Title] = []
    run_in_parallel: bool = False


class _Whole(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of v2; its subtasks are read one by one."""

    version: Any
    title: Title
    subtasks: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    description: str = ""
    tags: list[Title] = []


class _OldLoad(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A workload of v1."""

    args: dict[str, Any] | None = None
    description: str = ""
    runner: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    contexts: dict[str, Any] | None = None
    sla: dict[str, Any] | None = None
    hooks: list[_OldHook] = []


class _OldPlugin(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A trigger of v1."""

    name: str
    args: Any = None


class _OldHook(_OldPlugin, kw_only=True, forbid_unknown_fields=True):
    """A hook of v1."""

    trigger: _OldPlugin
    description: str = ""


def read_task(content: Any) -> Task:
    """The task that the content of a file means. Raises InvalidInput with every subtask that is wrong."""
    if not isinstance(content, Mapping):
        raise InvalidInput(f"a task is a mapping, not {type(content).__name__}", mend="begin it with `version: 2`")
    version = str(content.get("version", 1))
    if version == "1":
        return _task_of_v2(_v2_of_v1(content))
    if version == "2":
        return _task_of_v2(dict(content))
    raise InvalidInput(f"task format {version} is not known", mend="write version 2, or leave it out for version 1")


def _task_of_v2(content: dict[str, Any]) -> Task:
    whole = _convert(content, _Whole, "$")
    faults: list[str] = []
    subtasks: list[Subtask] = []
    for number, entry in enumerate(whole.subtasks):
        try:
            subtasks.append(_subtask(entry, f"$.subtasks[{number}]"))
        except InvalidInput as error:
            faults.append(error.what)
    if faults:
        raise InvalidInput(
            faults[0] if len(faults) == 1 else f"{len(faults)} subtasks are wrong",
            mend="see the reference of load tasks for the format",
            faults=tuple(faults) if len(faults) > 1 else (),
        )
    return Task(title=whole.title, description=whole.description, tags=list(whole.tags), subtasks=subtasks)


def _subtask(entry: dict[str, Any], place: str) -> Subtask:
    if "workloads" in entry:
        several = _convert(entry, _Complex, place)
        return Subtask(
            title=several.title,
            group=several.group,
            description=several.description,
            tags=list(several.tags),
            run_in_parallel=several.run_in_parallel,
            workloads=[_workload(load, place) for load in several.workloads],
        )
    single = _convert(entry, _Simple, place)
    return Subtask(title=single.title, group=single.group, tags=list(single.tags), workloads=[_workload(single, place)])


def _workload(load: _Load, place: str) -> Workload:
    ((scenario, args),) = load.scenario.items()
    ((runner, settings),) = (load.runner or DEFAULT_RUNNER).items()
    return Workload(
        scenario=scenario,
        args=_mapping(args, f"arguments of {scenario}", place),
        runner=runner,
        runner_settings=_mapping(settings, f"settings of {runner}", place),
        sla=dict(DEFAULT_SLA if load.sla is None else load.sla),
        hooks=load.hooks,
        contexts=load.contexts,
        description=load.description,
    )


def _mapping(value: Any, what: str, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(
            f"{what} are a mapping, not {type(value).__name__} - at `{place}`", mend="write them as `name: value`"
        )
    return value


def _v2_of_v1(content: Mapping[Any, Any]) -> dict[str, Any]:
    scenarios = {str(name): loads for name, loads in content.items() if name != "version"}
    if not scenarios:
        raise InvalidInput("the task is empty", mend="name a scenario in it, as in `Dummy.dummy: [{}]`")
    subtasks = []
    for name, loads in scenarios.items():
        old = _convert(loads, Annotated[list[_OldLoad], msgspec.Meta(min_length=1)], f"$.{name}")
        subtasks.append({"title": name, "workloads": [_v2_load(name, load, f"$.{name}") for load in old]})
    return {"version": 2, "title": V1_TITLE, "subtasks": subtasks}


def _v2_load(scenario: str, old: _OldLoad, place: str) -> dict[str, Any]:
    load: dict[str, Any] = {
        "scenario": {scenario: old.args or {}},
        "description": old.description,
        "contexts": old.context or old.contexts or {},
        "hooks": [
            {
                "action": {hook.name: hook.args},
                "trigger": {hook.trigger.name: hook.trigger.args},
                "description": hook.description,
            }
            for hook in old.hooks
        ],
    }
    if old.sla is not None:
        load["sla"] = old.sla
    if old.runner is not None:
        if not isinstance(old.runner.get("type"), str):
            raise InvalidInput(f"a runner has no type - at `{place}.runner`", mend="write one, as in `type: constant`")
        load["runner"] = {old.runner["type"]: {name: old.runner[name] for name in old.runner if name != "type"}}
    return load


def _convert(value: Any, kind: Any, place: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        words = str(error)
        said = words.replace("`$", f"`{place}", 1) if "`$" in words else f"{words} - at `{place}`"
        raise InvalidInput(said, mend="see the reference of load tasks for the format") from error
