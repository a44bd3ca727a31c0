"""The facts that a task reads and writes, from YAML."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from rackwright.core.catalog import Read, ScopeKind, Write
from rackwright.engine.catalogs.fields import Fields, shown

_Whose = Literal["node", "rack", "deployment", "nodes"]
_SCOPES = ("node", "rack", "deployment", "nodes")
_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
_ALIAS = re.compile(r"[A-Za-z_]\w*")
_EXAMPLES = "write a path as desired.address, or deployment:nats.seeds"


def reads(fields: Fields, own: ScopeKind) -> dict[str, Read]:
    """``reads``: a mapping of alias to reference, or a list whose aliases are the paths with ``_`` for ``.``."""
    _, value = fields.take("reads")
    if value is None:
        return {}
    if isinstance(value, dict):
        pairs = [(str(alias), f"reads.{alias}", reference) for alias, reference in value.items()]
    elif isinstance(value, list):
        pairs = [("", f"reads.{number}", reference) for number, reference in enumerate(value)]
    else:
        fields.fault("reads", f"reads must be a mapping or a list, not {shown(value)}", "write reads: {alias: path}")
        return {}
    found: dict[str, Read] = {}
    for alias, place, reference in pairs:
        read = _read(fields, place, reference, own)
        if read is None:
            continue
        name = alias or re.sub(r"\W", "_", read.path)
        if not _ALIAS.fullmatch(name):
            fields.fault(place, f"{name} is no alias", "use letters, digits and _, a letter first")
        elif name in found:
            fields.fault(place, f"two reads have the alias {name}", "write reads as a mapping of alias to path")
        else:
            found[name] = read
    return found


def writes(fields: Fields, own: ScopeKind) -> tuple[Write, ...]:
    """``writes``: a list of paths, scope:paths, or mappings {fact, slow}."""
    _, value = fields.take("writes")
    if value is None:
        return ()
    if not isinstance(value, list):
        fields.fault("writes", f"writes must be a list of facts, not {shown(value)}", "write writes: [path, ...]")
        return ()
    found = [_write(fields, f"writes.{number}", reference, own) for number, reference in enumerate(value)]
    return tuple(write for write in found if write is not None)


def _read(fields: Fields, place: str, value: Any, own: ScopeKind) -> Read | None:
    if not isinstance(value, dict):
        reference = _reference(fields, place, value, own)
        return reference and Read(path=reference[1], scope=reference[0])
    inner = fields.inner(place, value)
    reference = _reference(inner, "fact", inner.take("fact")[1], own)
    tags, optional = inner.names("tags"), inner.flag("optional", default=False)
    inner.refuse_left(("fact", "tags", "optional"))
    if reference and tags and reference[0] != "nodes":
        inner.fault("tags", "tags choose among nodes, but this fact is not read from nodes", "write fact: nodes:PATH")
    return reference and Read(path=reference[1], scope=reference[0], tags=tags, optional=optional)


def _write(fields: Fields, place: str, value: Any, own: ScopeKind) -> Write | None:
    if not isinstance(value, dict):
        reference = _reference(fields, place, value, own)
        return reference and Write(path=reference[1], scope=reference[0])
    inner = fields.inner(place, value)
    reference = _reference(inner, "fact", inner.take("fact")[1], own)
    slow = inner.flag("slow", default=False)
    inner.refuse_left(("fact", "slow"))
    return reference and Write(path=reference[1], scope=reference[0], slow=slow)


def _reference(fields: Fields, place: str, value: Any, own: ScopeKind) -> tuple[_Whose, str] | None:
    """``path`` means the task's own scope; ``scope:path`` says whose."""
    if not isinstance(value, str):
        fields.fault(place, f"a fact must be a text, not {shown(value)}", _EXAMPLES)
        return None
    head, colon, tail = value.partition(":")
    scope, path = (head, tail) if colon else (own, head)
    if scope not in _SCOPES:
        fields.fault(place, f"{value}: unknown scope {scope}", f"one of {', '.join(_SCOPES)}")
        return None
    if not _PATH.fullmatch(path):
        fields.fault(place, f"{value} is no path of a fact", _EXAMPLES)
        return None
    return cast("_Whose", scope), path
