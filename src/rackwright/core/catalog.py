"""What a catalog says: roles, tasks and graphs, as read from files and before any node is known."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

type_names = (
    "puppet", "shell", "sync", "upload_file", "group", "stage", "skipped", "reboot", "copy_files", "role",
    "master_shell", "move_to_bootstrap", "erase_node", "script", "service", "noop", "power", "boot", "agent", "ssh",
    "ansible", "load",
)  # fmt: skip
"""Task types: Fuel's thirteen and the native ones. A native type names its jig."""

ScopeKind = Literal["node", "rack", "deployment"]
"""What a task works on, and whose facts a reference means."""

BootKind = Literal["", "discovery", "rescue", "local"]

Selector = str | tuple[str, ...]
"""Where a task runs or whom a relation means: a name, '*', '/regex/', or a tuple of names and regexes."""


class Position(msgspec.Struct, frozen=True):
    """A place in a catalog: ``file`` relative to the catalog's root, ``line`` from 1."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """``file:line``, the form that editors jump to."""
        return f"{self.file}:{self.line}"


def place(source: Position, lines: dict[str, int], path: str) -> Position:
    """The position of ``path`` below the thing at ``source``; of an unknown path, the nearest that encloses it."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return Position(source.file, lines[path]) if path else source


class Read(msgspec.Struct, frozen=True):
    """A fact that a task reads.

    ``scope`` says whose: the task's own ``node``, ``rack`` or ``deployment``; or ``nodes``: the fact of every member
    node, as a mapping by node name (only for tasks of a rack or a deployment). ``tags`` narrows ``nodes`` to members
    with one of these tags. ``optional`` reads give null where the fact is absent; else the task waits for it.
    """

    path: str
    scope: Literal["node", "rack", "deployment", "nodes"] = "node"
    tags: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        """``scope:path``, the form of catalogs."""
        return f"{self.scope}:{self.path}"


class Write(msgspec.Struct, frozen=True):
    """A fact that a task writes, on its own scope or per member node (``nodes``); ``slow`` marks a deployment's fact
    that changes seldom, so that node tasks may read it although it is gathered from many nodes."""

    path: str
    scope: Literal["node", "rack", "deployment", "nodes"] = "node"
    slow: bool = False


class Retry(msgspec.Struct, frozen=True):
    """How often a failed task is tried in all, the first pause in seconds, the factor from pause to pause, and by which
    part of itself (0 to 1) a pause may be longer or shorter, so that what failed together is not tried together."""

    attempts: int = 1
    delay: float = 1.0
    backoff: float = 2.0
    jitter: float = 0.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a catalog. Fields named as in the task format; relations and templates are kept as written."""

    id: str
    type: str
    version: str = "1.0.0"
    tags: Selector | None = None
    roles: Selector | None = None
    groups: Selector | None = None
    requires: tuple[str, ...] = ()
    required_for: tuple[str, ...] = ()
    cross_depends: Any = ()
    """A tuple of {name, role | tags, policy} or {yaql_exp}."""
    cross_depended_by: Any = ()
    condition: Any = True
    """True, False, {yaql_exp} or a legacy string expression."""
    parameters: Any = None
    """A template; any mapping {yaql_exp: ...} in it is replaced by its value."""
    fail_on_error: bool = True
    fault_tolerance: int | str | None = None
    tasks: tuple[str, ...] = ()
    """For groups: the tasks that they add."""
    scope: ScopeKind = "node"
    jig: str = ""
    """Name of the jig that carries it out; empty: none is needed (stage, group, skipped)."""
    reads: dict[str, Read] = {}
    """By alias: the name under which the task sees the value."""
    writes: tuple[Write, ...] = ()
    timeout: float = 600.0
    """Seconds for one attempt."""
    retry: Retry = Retry()
    destructive: bool = False
    critical: bool = False
    offline: bool = False
    """It may run while its node is not alive: it is about the machine and not about what runs on it."""
    takes: tuple[str, ...] = ()
    """Kinds of places (see ``topology``) of whose budgets it takes a share while it runs."""
    hooks: dict[str, str] = {}
    """Scripts of the catalog that are told of its node tasks, by hook (``on_active``, ...; see ``hooks.HOOKS``)."""
    extra: dict[str, Any] = {}
    """Keys that the format does not know, kept and carried along."""
    source: Position = Position()
    lines: dict[str, int] = {}
    """The line of every key and list item below the task, by dotted path (``parameters.data``, ``requires.0``)."""

    def place(self, path: str) -> Position:
        """Where ``path`` (dotted, see ``lines``) stands in the task's file; of an unknown path, what encloses it."""
        return place(self.source, self.lines, path)

    @property
    def digest(self) -> bytes:
        """Fingerprint (16 bytes) of all that carrying out this task depends on; its place in a file does not count."""
        said = (self.type, self.jig, self.condition, self.parameters, self.reads, self.timeout)
        return hashlib.blake2b(msgspec.msgpack.encode(said, order="deterministic"), digest_size=16).digest()


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle of tasks that people bind to nodes: the tags it brings, and the attributes it takes.

    ``attributes`` is a JSON schema (an object of properties, with defaults); a value is the fact
    ``desired.<role>.<attribute>``. ``primary`` lists the tags of which one node of the deployment carries
    ``primary-<tag>`` instead. What roles say of one another is carried out by ``binding`` and ``role_order``.
    """

    name: str
    tags: tuple[str, ...] = ()
    """Empty: the role's own name."""
    primary: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    description: str = ""
    requires: tuple[str, ...] = ()
    """Roles, or names that roles provide, that must be bound too, and whose tasks come first."""
    precedes: tuple[str, ...] = ()
    """Roles whose tasks come after this one's where both are bound; nothing is bound for it."""
    provides: tuple[str, ...] = ()
    """Other names that this role answers to. Two that answer to one name are not bound to the same node."""
    conflicts: tuple[str, ...] = ()
    """Roles, or provided names, that may not be on the same node."""
    abstract: bool = False
    """Only a name that others provide: it cannot be bound."""
    implicit: bool = False
    """What requires it needs it on the very same node."""
    discovery: bool = False
    """Bound by itself to every node that is new in a deployment."""
    cluster: bool = False
    """It waits for what it requires, and what requires it waits for it, on all nodes of the deployment."""
    service: bool = False
    """Bound to the deployment itself and not to a node."""
    milestone: bool = False
    """Meant to be chosen by people: shown first."""
    hooks: dict[str, str] = {}
    """As of a task; told of every node task on nodes that have the role, and of these nodes."""
    source: Position = Position()
    lines: dict[str, int] = {}
    """As of a task."""

    def place(self, path: str) -> Position:
        """Where ``path`` stands in the role's file, as of a task."""
        return place(self.source, self.lines, path)


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one purpose (``type``: deploy, provision, delete, verify, ...), which nodes it is for, and what
    becomes of a node after it: facts by outcome (``success``, ``error``, ``stop``)."""

    type: str
    tasks: tuple[Task, ...] = ()
    """In stable order: by file, then by place."""
    node_filter: str = ""
    """A YAQL expression over the node; empty: every member."""
    outcome: dict[Literal["success", "error", "stop"], dict[str, Any]] = {}
    bootenv: BootKind = ""
    """As an activity of machines (see ``lifecycle``): what they boot while it goes on. Empty: what follows from their
    other facts."""
    source: Position = Position()
    """Where its node filter stands."""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one deployment may run: what its layers (shipped < plugins < deployment) merge to."""

    name: str
    roles: dict[str, Role] = {}
    graphs: dict[str, Graph] = {}
    files: dict[str, str] = {}
    """Texts that tasks name by a path relative to the catalog (scripts, templates)."""
    strict: bool = True
    """True: what lint finds refuses it. False (a Fuel catalog): lint warns where the original was silent."""
    description: str = ""
