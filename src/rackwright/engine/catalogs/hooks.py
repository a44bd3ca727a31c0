"""Hooks from YAML: which scripts of the catalog are told of what."""

from __future__ import annotations

from rackwright.core.hooks import HOOKS
from rackwright.core.lint.finding import did_you_mean
from rackwright.engine.catalogs.fields import Fields, shown

_FOLDER = "scripts/"


def hooks(fields: Fields) -> dict[str, str]:
    """The paths of scripts by hook: ``hooks: {on_active: scripts/tell.sh}``."""
    given = fields.mapping("hooks") or {}
    inner = fields.inner("hooks", given)
    for key, path in given.items():
        if key not in HOOKS:
            mend = did_you_mean(str(key), HOOKS) or f"hooks: {', '.join(HOOKS)}"
            inner.fault(str(key), f"there is no hook {key}", mend)
        elif not isinstance(path, str) or not path.startswith(_FOLDER):
            inner.fault(key, f"{key} must name a script, not {shown(path)}", "write the path of a file in scripts/")
    return {key: path for key, path in given.items() if key in HOOKS and isinstance(path, str)}
