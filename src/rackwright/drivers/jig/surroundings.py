"""The clean environment that processes get: never the rack's own, so its token cannot leak."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, TypeVar

import msgspec

from rackwright.core.errors import Permanent
from rackwright.core.jig import Work

search_path = os.pathsep.join(
    (os.path.dirname(sys.executable), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
)
"""PATH of every process: programs of the rack's own Python environment, then the machine's."""

_Shape = TypeVar("_Shape")

longest_value = 65536
"""Characters; longer inputs are in the file of inputs only, because the kernel refuses variables over 128 KiB."""


def clean_environment(home: str, temporary: str) -> dict[str, str]:
    """What every process gets."""
    return {"PATH": search_path, "HOME": home, "LANG": "C.UTF-8", "TMPDIR": temporary}


def input_variables(inputs: dict[str, Any]) -> dict[str, str]:
    """Each scalar input as a variable: the alias in upper case, other signs than letters and digits as ``_``; true and
    false in small letters. Nulls, lists, mappings and over-long texts are left out."""
    variables = {}
    for alias, value in inputs.items():
        text = _as_text(value)
        if text is not None and len(text) <= longest_value and "\0" not in text:
            variables[re.sub(r"[^A-Z0-9_]", "_", alias.upper())] = text
    return variables


def task_variables(work: Work) -> dict[str, str]:
    """What tells a process which task it is part of."""
    claim = work.claim
    return {
        "RACKWRIGHT_NODE": claim.scope,
        "RACKWRIGHT_RACK": work.rack,
        "RACKWRIGHT_ADDRESS": claim.address or "",
        "RACKWRIGHT_DEPLOYMENT": claim.deployment,
        "RACKWRIGHT_TASK": claim.task,
        "RACKWRIGHT_STATE": work.state,
    }


def given_variables(env: dict[str, Any]) -> dict[str, str]:
    """A task's own ``env`` parameter, values as texts; nulls, lists and mappings become empty."""
    return {name: _as_text(value) or "" for name, value in env.items()}


def inputs_text(work: Work) -> str:
    """What a script finds in its file of inputs: JSON."""
    claim = work.claim
    about = {"node": {"name": claim.scope, "address": claim.address}, "deployment": claim.deployment, "rack": work.rack}
    return msgspec.json.encode(about | claim.inputs).decode()


def inner_path(path: str) -> str:
    """A path of the catalog as it is; raises ``Permanent`` for one that leads out of its folder."""
    if path.startswith("/") or ".." in path.split("/"):
        raise Permanent(f"the file {path!r} leads out of its folder", mend="use paths relative to the catalog")
    return path


def write_files(files: dict[str, str], folder: str) -> None:
    """Write the catalog's texts below ``folder``, those that begin with ``#!`` as programs.

    Raises ``Permanent`` for a path that leads out of the folder.
    """
    for path, text in files.items():
        target = os.path.join(folder, *inner_path(path).split("/"))
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        write_private(target, text, 0o700 if text.startswith("#!") else 0o600)


def write_private(path: str, text: str, mode: int = 0o600) -> None:
    """Write a file that nobody but the rack's user can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8", newline="") as file:
        file.write(text)


def parameters_as(shape: type[_Shape], work: Work) -> _Shape:
    """The parameters of a task as ``shape``; raises ``Permanent`` when they do not fit."""
    try:
        return msgspec.convert(work.claim.parameters or {}, shape)
    except msgspec.ValidationError as error:
        mend = f"see the `parameters` of task {work.claim.task} in the catalog"
        raise Permanent(f"the parameters do not fit the jig: {error}", mend=mend) from error


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None
