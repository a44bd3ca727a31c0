"""Tasks from YAML: the task format of Fuel, and the native fields (scope, jig, reads, writes, timeout, retry, ...)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from rackwright.core.catalog import Retry, ScopeKind, Selector, Task, type_names
from rackwright.core.lint.finding import Finding, did_you_mean
from rackwright.core.topology import KINDS
from rackwright.engine.catalogs.facts import reads, writes
from rackwright.engine.catalogs.fields import Fields, shown
from rackwright.engine.catalogs.hooks import hooks
from rackwright.engine.catalogs.yaml_text import Document, Entry

native_types = ("script", "service", "noop", "power", "boot", "agent", "ssh", "ansible", "load")
"""Task types that are the name of their jig."""
_SPELLINGS = {"role": "roles", "cross-depends": "cross_depends", "cross-depended-by": "cross_depended_by"}
_SPECIAL = ("*", "master", "self")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_TOLERANCE = re.compile(r"-?\d+%?")


def tasks_of(document: Document, findings: list[Finding]) -> list[Task]:
    """The tasks of a file, in its order; what is wrong with them is added to the findings."""
    if document.value is not None and not isinstance(document.value, list):
        at = document.whole().place
        findings.append(
            Finding("error", "bad-value", at, "the file is no list of tasks", "begin each task with `- id:`")
        )
        return []
    read = [_task(entry, number, findings) for number, entry in enumerate(document.items(), start=1)]
    return [task for task in read if task is not None]


def _task(entry: Entry, number: int, findings: list[Finding]) -> Task | None:
    if not isinstance(entry.value, dict):
        message = f"item {number} is no task: {shown(entry.value)}"
        findings.append(Finding("error", "bad-value", entry.place, message, "begin each task with `- id:`"))
        return None
    named = entry.value.get("id")
    fields = Fields(entry, f"task {named}" if isinstance(named, str) else f"task number {number}", findings)
    task_id, kind = fields.text("id", required=True), fields.choice("type", type_names, required=True)
    scope = cast("ScopeKind", fields.choice("scope", ("node", "rack", "deployment"), default="node"))
    task = Task(
        id=task_id,
        type=kind,
        version=_version(fields),
        tags=fields.selector("tags"),
        roles=_roles(fields),
        groups=fields.selector("groups"),
        requires=fields.names("requires"),
        required_for=fields.names("required_for"),
        cross_depends=_relations(fields, "cross_depends", "cross-depends"),
        cross_depended_by=_relations(fields, "cross_depended_by", "cross-depended-by"),
        condition=_condition(fields),
        parameters=fields.mapping("parameters"),
        fail_on_error=fields.flag("fail_on_error", default=True),
        fault_tolerance=_fault_tolerance(fields),
        tasks=fields.names("tasks"),
        scope=scope,
        jig=fields.text("jig", default=kind if kind in native_types else ""),
        reads=reads(fields, scope),
        writes=writes(fields, scope),
        timeout=fields.seconds("timeout", default=600.0),
        retry=_retry(fields),
        destructive=fields.flag("destructive", default=False),
        critical=fields.flag("critical", default=False),
        offline=fields.flag("offline", default=False),
        takes=_takes(fields, scope),
        hooks=hooks(fields),
        extra=fields.left(),
        source=entry.place,
        lines=dict(_respelled(entry.lines)),
    )
    return task if task_id else None


def _respelled(lines: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Lines under the names that a task's fields have."""
    for path, line in lines.items():
        head, dot, rest = path.partition(".")
        yield f"{_SPELLINGS.get(head, head)}{dot}{rest}", line


def _takes(fields: Fields, scope: ScopeKind) -> tuple[str, ...]:
    """Kinds of places. A task of the deployment itself stands nowhere."""
    said = fields.names("takes")
    for number, kind in enumerate(said):
        if kind not in KINDS:
            mend = did_you_mean(kind, KINDS) or f"one of {', '.join(KINDS)}"
            fields.fault(f"takes.{number}", f"{kind} is no kind of place", mend)
    if said and scope == "deployment":
        fields.fault("takes", "a task of the deployment itself stands at no place", "let it work on the node")
    return tuple(kind for kind in said if kind in KINDS)


def _version(fields: Fields) -> str:
    _, value = fields.take("version")
    if value is None:
        return "1.0.0"
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        fields.fault(
            "version", f"version must be a text of three numbers, not {shown(value)}", 'write version: "2.1.0"'
        )
        return "1.0.0"
    return value


def _roles(fields: Fields) -> Selector | None:
    """As the original: a list of one special name is that name."""
    roles = fields.selector("roles", "role")
    return roles[0] if isinstance(roles, tuple) and len(roles) == 1 and roles[0] in _SPECIAL else roles


def _condition(fields: Fields) -> Any:
    _, value = fields.take("condition")
    if value is None:
        return True
    if isinstance(value, bool | str) or (isinstance(value, dict) and list(value) == ["yaql_exp"]):
        return value
    fields.fault(
        "condition", f"condition must be true, false or an expression, not {shown(value)}", "write yaql_exp: ..."
    )
    return True


def _relations(fields: Fields, key: str, hyphenated: str) -> tuple[Any, ...]:
    """Relations to tasks of other nodes: mappings with a name, or one expression that gives them."""
    found, value = fields.take(key, hyphenated)
    if isinstance(value, dict) and list(value) == ["yaql_exp"]:
        return (value,)
    if value is None or isinstance(value, list):
        entries = [(number, entry) for number, entry in enumerate(value or []) if entry]
        return tuple(entry for number, entry in entries if _is_relation(fields, f"{found}.{number}", entry))
    mend = "write a list of `- name: ...`, or yaql_exp: ..."
    fields.fault(found, f"{found} must be a list of relations, not {shown(value)}", mend)
    return ()


def _is_relation(fields: Fields, path: str, entry: Any) -> bool:
    if not isinstance(entry, dict):
        fields.fault(path, f"a relation must be a mapping, not {shown(entry)}", "write - name: ...")
        return False
    if "yaql_exp" in entry:
        return True
    inner = fields.inner(path, entry)
    inner.text("name", required=True)
    inner.selector("role", "roles")
    inner.selector("tags")
    inner.choice("policy", ("all", "any", "nearest"))
    inner.refuse_left(("name", "role", "tags", "policy"))
    return isinstance(entry.get("name"), str)


def _fault_tolerance(fields: Fields) -> int | str | None:
    _, value = fields.take("fault_tolerance")
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and _TOLERANCE.fullmatch(value):
        return value
    fields.fault(
        "fault_tolerance", f"fault_tolerance is no number: {shown(value)}", 'write 2, -3 (must succeed) or "10%"'
    )
    return None


def _retry(fields: Fields) -> Retry:
    value = fields.mapping("retry")
    if value is None:
        return Retry()
    inner = fields.inner("retry", value)
    attempts = inner.number("attempts", default=1, least=1)
    if attempts != int(attempts):
        inner.fault("attempts", f"attempts must be a whole number, not {attempts}", "write attempts: 3")
    delay, backoff = inner.seconds("delay", default=1.0), inner.number("backoff", default=2.0, least=1)
    jitter = inner.number("jitter", default=0.0, least=0)
    if jitter > 1:
        inner.fault("jitter", f"jitter is a part of the pause, from 0 to 1, not {jitter}", "write jitter: 0.2")
    inner.refuse_left(("attempts", "delay", "backoff", "jitter"))
    return Retry(attempts=int(attempts), delay=delay, backoff=backoff, jitter=min(jitter, 1.0))
