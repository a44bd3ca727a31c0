"""Roles from YAML: the tags that they bring, and the attributes that they take."""

from __future__ import annotations

import re

from rackwright.core.catalog import Role
from rackwright.core.lint.finding import Finding
from rackwright.engine.catalogs.fields import Fields, shown
from rackwright.engine.catalogs.hooks import hooks
from rackwright.engine.catalogs.yaml_text import Document, Entry

_NAME = re.compile(r"[A-Za-z_][\w-]*")
_KNOWN = (
    "name", "description", "tags", "primary", "attributes", "requires", "precedes", "provides", "conflicts",
    "abstract", "implicit", "discovery", "cluster", "service", "milestone", "hooks",
)  # fmt: skip


def roles_of(document: Document, findings: list[Finding]) -> list[Role]:
    """The roles of a file: a list of them, or one alone."""
    if isinstance(document.value, dict):
        entries = [document.whole()]
    elif document.value is None or isinstance(document.value, list):
        entries = list(document.items())
    else:
        entries = [document.whole()]
    read = [_role(entry, findings) for entry in entries]
    return [role for role in read if role is not None]


def _role(entry: Entry, findings: list[Finding]) -> Role | None:
    if not isinstance(entry.value, dict):
        message = f"no role: {shown(entry.value)}"
        findings.append(Finding("error", "bad-value", entry.place, message, "begin each role with `- name:`"))
        return None
    fields = Fields(entry, f"role {entry.value.get('name')}", findings)
    name = fields.text("name", required=True)
    if name and not _NAME.fullmatch(name):
        fields.fault("name", f"{name} is no name of a role", "use letters, digits, - and _, a letter first")
    role = Role(
        name=name,
        description=fields.text("description"),
        tags=fields.names("tags"),
        primary=fields.names("primary"),
        attributes=fields.mapping("attributes") or {},
        requires=fields.names("requires"),
        precedes=fields.names("precedes"),
        provides=fields.names("provides"),
        conflicts=fields.names("conflicts"),
        abstract=fields.flag("abstract", default=False),
        implicit=fields.flag("implicit", default=False),
        discovery=fields.flag("discovery", default=False),
        cluster=fields.flag("cluster", default=False),
        service=fields.flag("service", default=False),
        milestone=fields.flag("milestone", default=False),
        hooks=hooks(fields),
        source=entry.place,
        lines=entry.lines,
    )
    for tag in sorted(set(role.primary) - set(role.tags or (name,))):
        fields.fault("primary", f"primary names the tag {tag}, which the role does not bring", "add it to tags")
    fields.refuse_left(_KNOWN)
    return role if name else None
